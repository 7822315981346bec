"""One attempt of a call on one account: lease, prepare, send, read, classify, observe.

Gives an `Answer` once it is safe to commit to it, else `Failed`. What an attempt holds (the lease, the connection) is
freed here, or by the answer's coming body when there is one.
"""

import msgspec

from gateway.core.call import CHUNKS, ModelUse, Schema, StreamKind
from gateway.core.classify import classify, classify_fault, classify_stream_error
from gateway.core.errors import AllOverloaded, GatewayError, NoAccountAvailable, UpstreamFailed, UpstreamTimedOut
from gateway.core.hints import OPENAI_NAMES
from gateway.core.ids import Instant
from gateway.core.masking import masked_identifiers_in_bytes
from gateway.core.outcome import ErrorBody, Fault, Outcome, OutcomeKind
from gateway.providers.base import Destination, Headers
from gateway.providers.location import with_our_location, with_our_places
from gateway.relay.answer import Answer
from gateway.relay.credentials import Credentials
from gateway.relay.headrooms import note_head, note_produced
from gateway.relay.job import Job
from gateway.relay.lease import Books, Lease
from gateway.relay.member import Member
from gateway.relay.opened import OpenedSocket
from gateway.relay.passing import PassingBody
from gateway.relay.ports import Clock, Upstream, UpstreamAnswer, UpstreamSocket
from gateway.relay.source import EventSource
from gateway.relay.streaming import StreamingBody
from gateway.wire.errors import anthropic_error_body, error_body, error_in_answer, is_object
from gateway.wire.headers import AnswerHeaders, answer_headers
from gateway.wire.packed import without_packing
from gateway.wire.reading import EventReader, reader_for
from gateway.wire.usage import read_asked_usage, read_usage

NEARLY = 0.99
"""From this share on what is left of the time counts as all of it: the usual first attempt keeps its limits."""
MAX_ERROR_BYTES = 1024 * 1024
"""Of an error body. A longer one counts as unreadable."""
MAX_JSON_BYTES = 64 * 1024 * 1024
"""Of a JSON answer, which is read whole before the commit. Images as base64 are the largest: 10 of some 4 MB."""

MADE = frozenset({201, 202})
"""Successes that say where what they made can be found."""

JSON_TYPE = b"application/json"
EVENTS_TYPE = b"text/event-stream"
NOT_JSON = Outcome(OutcomeKind.UPSTREAM_ERROR, message="the answer was not the JSON that its head promised")


class Failed(msgspec.Struct, frozen=True):
    """An attempt that gave no answer."""

    outcome: Outcome
    refusal: Answer | GatewayError
    """For the caller, if no other account does better."""


class Begun(msgspec.Struct, frozen=True):
    """An attempt that gave one."""

    outcome: Outcome
    answer: Answer


class Attempts:
    """Makes attempts. One per worker."""

    def __init__(
        self,
        *,
        board: Books,
        upstream: Upstream,
        credentials: Credentials,
        clock: Clock,
        passed_headers: AnswerHeaders = answer_headers,
    ) -> None:
        """`passed_headers`: which of an answer's headers the caller gets."""
        self._board = board
        self._passed_headers = passed_headers
        self._credentials = credentials
        self._upstream = upstream
        self._clock = clock

    async def attempt(self, member: Member, job: Job, deadline: Instant) -> Answer | Failed:
        """One try on `member`, which was a candidate at this very moment. No answer begins after `deadline`."""
        started = self._clock.now()
        lease = self._board.take(job.pool, member, started, job.call.estimated_tokens, job.call.id)
        try:
            if member.account.credential.grant is None:
                result = await self._made(lease, job, member.destination, deadline)
            else:
                result = await self._made_with_token(lease, job, deadline)
        except BaseException:
            lease.release()
            raise
        now = self._clock.now()
        account = member.account
        job.progress.attempted(account.provider_id, account.id or None, job.pool.model, result.outcome, now - started)
        self._board.observe(lease, result.outcome, now)
        if isinstance(result, Failed):
            lease.release()
            return result
        if result.answer.coming is None:
            lease.release()
        return result.answer

    async def _made_with_token(self, lease: Lease, job: Job, deadline: Instant) -> Begun | Failed:
        """The same, presenting an access token; one that the upstream does not take is bought anew, once."""
        provider, account = job.pool.provider, lease.member.account
        destination = await self._credentials.destination_of(provider, account, within_s=deadline - lease.started)
        if isinstance(destination, Outcome):
            return Failed(destination, NoAccountAvailable("The account's access token could not be fetched."))
        result = await self._made(lease, job, destination, deadline)
        if not isinstance(result, Failed) or result.outcome.status != 401:
            return result
        another = await self._credentials.renewed(provider, account, destination)
        return result if another is None else await self._made(lease, job, another, deadline)

    async def _made(self, lease: Lease, job: Job, destination: Destination, deadline: Instant) -> Begun | Failed:
        pool, call = job.pool, job.call
        limits = pool.stream_limits if call.is_stream else pool.limits
        left_s = deadline - lease.started
        if left_s < limits.headers_s * NEARLY:
            limits = msgspec.structs.replace(limits, headers_s=max(left_s, 0.001))
        request = pool.kind.prepare(
            call,
            destination,
            model=pool.model,
            headers=job.headers,
            body=job.body,
            limits=limits,
        )
        if job.way is None:
            answer = await self._upstream.attempt(request)
        else:
            answer = await job.way.attempt(pool.kind.upgraded(request))
        if isinstance(answer, Fault):
            return Failed(classify_fault(answer), _error_of(answer))
        note_head(lease, answer.status, answer.headers, self._clock)
        try:
            first_event_by = Instant(min(lease.started + limits.first_event_s, deadline))
            result = await self._read(answer, lease, job, first_event_by)
        except BaseException:
            answer.close()
            raise
        if isinstance(result, Failed) or result.answer.coming is None:
            answer.close()
        return result

    async def _read(self, answer: UpstreamAnswer, lease: Lease, job: Job, first_event_by: Instant) -> Begun | Failed:
        """What the head and as much of the body as is safe to wait for say."""
        status = answer.status
        endpoint = job.call.endpoint
        if not 200 <= status < 300:
            if status == 101 and isinstance(answer, UpstreamSocket):
                return await self._opened(answer, lease)
            if 300 <= status < 400 and endpoint.model is not ModelUse.REQUIRED:
                return self._passing(answer, lease, job)  # not changed, or elsewhere: the caller knows what to do
            return await self._refused(answer, lease, job)
        content_type = _value(answer.headers, b"content-type")
        is_chunks = endpoint.stream in CHUNKS
        may_stream = job.call.is_stream if is_chunks else endpoint.stream is not StreamKind.NONE
        # Some servers call a stream of chunks plain text, or nothing: official SDKs read events whatever their name.
        if may_stream and (content_type.startswith(EVENTS_TYPE) or (is_chunks and not _is_json_type(content_type))):
            return await self._stream(answer, lease, job, first_event_by)
        is_read = _is_json_type(content_type) or (_is_page(content_type) and endpoint.model is not ModelUse.NONE)
        if is_chunks or (is_read and not endpoint.is_download):
            return await self._whole(answer, lease, job)
        return self._passing(answer, lease, job)

    def _passing(self, answer: UpstreamAnswer, lease: Lease, job: Job) -> Begun:
        """An answer that goes on unread, of any size."""
        if isinstance(job.body, bytes):
            job.progress.usage = read_asked_usage(job.body, job.call.endpoint)
        body = PassingBody(
            answer=answer,
            lease=lease,
            board=self._board,
            clock=self._clock,
            progress=job.progress,
            stall_s=(job.pool.stream_limits if job.call.is_stream else job.pool.limits).stall_s,
        )
        headers = with_our_location(self._passed_headers(answer.headers), lease.member.destination)
        return Begun(Outcome(OutcomeKind.OK, answer.status), Answer(answer.status, headers, coming=body))

    async def _opened(self, socket: UpstreamSocket, lease: Lease) -> Begun | Failed:
        opened = OpenedSocket(socket=socket, lease=lease)
        outcome = await opened.open()
        if outcome is not None:
            return Failed(outcome, _refusal_of(outcome, opened.error))
        return Begun(Outcome(OutcomeKind.OK, socket.status), Answer(socket.status, (), coming=opened))

    async def _stream(self, answer: UpstreamAnswer, lease: Lease, job: Job, first_event_by: Instant) -> Begun | Failed:
        pool = job.pool
        source = EventSource(
            answer=answer,
            reader=self._reader(job, lease),
            lease=lease,
            clock=self._clock,
            stall_s=pool.stream_limits.stall_s,
        )
        outcome = await source.open(first_event_by)
        if outcome is not None:
            return Failed(outcome, _refusal_of(outcome, source.reader.error, job.call.endpoint.schema))
        body = StreamingBody(source=source, board=self._board, clock=self._clock, progress=job.progress)
        ok = Outcome(OutcomeKind.OK, answer.status)
        headers = self._passed_headers(answer.headers, is_body_new=True)
        return Begun(ok, Answer(answer.status, headers, coming=body, shows_objects=pool.translation is None))

    def _reader(self, job: Job, lease: Lease) -> EventReader:
        call, translation = job.call, job.pool.translation
        if translation is not None:
            return translation.read_stream(call, created=self._epoch_s(), asked=job.asked)
        return reader_for(call.endpoint, hides_usage=job.pool.kind.hides_usage(call, lease.member.destination))

    def _epoch_s(self) -> int:
        return int(self._clock.wall_now().timestamp())

    async def _whole(self, answer: UpstreamAnswer, lease: Lease, job: Job) -> Begun | Failed:
        """A JSON answer: read to its end before the commit, so that a cut or garbled one costs the caller nothing."""
        body = await answer.read_all(MAX_JSON_BYTES)
        if isinstance(body, Fault):
            return Failed(classify_fault(body), _error_of(body))
        encoding = _value(answer.headers, b"content-encoding")
        plain = without_packing(body, encoding, MAX_JSON_BYTES) if encoding else body
        if plain is None:
            return Failed(NOT_JSON, UpstreamFailed("The upstream's answer came in an encoding nobody asked for."))
        body = plain
        error = error_in_answer(body, job.call.endpoint)
        if error is not None:
            return self._failed_whole(error, answer, body, job)
        if not _is_json(body) and job.call.endpoint.model is not ModelUse.NONE:
            return Failed(NOT_JSON, UpstreamFailed("The upstream's answer was not JSON."))
        if job.pool.translation is not None:
            translated = job.pool.translation.read_answer(body, created=self._epoch_s(), asked=job.asked)
            if translated is None:
                return Failed(NOT_JSON, UpstreamFailed("The upstream's answer was none to this call."))
            body = translated
        if job.call.endpoint.places:
            body = with_our_places(body, job.call.endpoint.places, lease.member.destination)
        job.progress.usage = read_usage(body, job.call.endpoint)
        if lease.member.destination.limit_names is not OPENAI_NAMES:
            note_produced(lease, job.progress.usage, self._clock.now())
        ok = Outcome(OutcomeKind.OK, answer.status)
        headers = self._passed_headers(answer.headers, is_body_new=True)
        if answer.status in MADE:
            headers = with_our_location(headers, lease.member.destination)
        return Begun(ok, Answer(answer.status, headers, body, shows_objects=job.pool.translation is None))

    def _failed_whole(self, error: ErrorBody, answer: UpstreamAnswer, body: bytes, job: Job) -> Failed:
        """A success that is none. A whole response that failed is an answer too: as it came, if nobody does better."""
        outcome = classify_stream_error(error)
        is_response = job.call.endpoint.stream is StreamKind.RESPONSES and is_object(body)
        is_response = is_response and job.pool.translation is None
        if not is_response or job.call.is_stream:  # the SDKs take a body for an empty stream
            return Failed(outcome, _refusal_of(outcome, error, job.call.endpoint.schema))
        masked = masked_identifiers_in_bytes(body)
        headers = self._passed_headers(answer.headers, is_passed_error=True, is_body_new=True)
        return Failed(outcome, Answer(answer.status, headers, masked, outcome=outcome.kind, code=outcome.code))

    async def _refused(self, answer: UpstreamAnswer, lease: Lease, job: Job) -> Failed:
        """An answer that is no success, kept as it came but for the identifiers of accounts in it."""
        body = await answer.read_all(MAX_ERROR_BYTES)
        if isinstance(body, Fault):
            body = b""
        body = without_packing(body, _value(answer.headers, b"content-encoding"), MAX_ERROR_BYTES) or b""
        content_type = _value(answer.headers, b"content-type").decode("latin-1")
        error = job.pool.kind.read_error(body, content_type)
        names = lease.member.destination.limit_names
        outcome = classify(answer.status, dict(answer.headers), error, wall_now=self._clock.wall_now(), names=names)
        if not error.is_readable and outcome.kind is not OutcomeKind.CALLER_FAULT:
            return Failed(outcome, _refusal_of(outcome, None))
        headers = self._passed_headers(answer.headers, is_passed_error=True, is_body_new=True)
        translation = job.pool.translation
        if translation is not None:
            masked = translation.write_error(error, status=answer.status)
            headers = (*(header for header in headers if header[0] != b"content-type"), (b"content-type", JSON_TYPE))
        else:
            masked = masked_identifiers_in_bytes(body)
        return Failed(outcome, Answer(answer.status, headers, masked, outcome=outcome.kind, code=outcome.code))


def _value(headers: Headers, name: bytes) -> bytes:
    for key, value in headers:  # a generator costs as much again, and every answer pays
        if key == name:
            return value.lower()
    return b""


def _is_json_type(content_type: bytes) -> bool:
    """`application/jsonl` and their like are none."""
    return content_type == JSON_TYPE or content_type.partition(b";")[0].rstrip() == JSON_TYPE


def _is_page(content_type: bytes) -> bool:
    """For people: a proxy's words. No model answers so."""
    return content_type.startswith((b"text/html", b"application/xhtml"))


def _is_json(body: bytes) -> bool:
    """An object or array from its first byte to its last: a page or a cut answer is neither."""
    text = body.strip()
    return (text[:1], text[-1:]) in {(b"{", b"}"), (b"[", b"]")}


def _error_of(fault: Fault) -> GatewayError:
    """What the caller is told when no account did better."""
    match classify_fault(fault).kind:
        case OutcomeKind.TIMED_OUT:
            return UpstreamTimedOut("The upstream did not answer in time.")
        case OutcomeKind.UNREACHABLE:
            return UpstreamFailed("The upstream could not be reached.", code="upstream_unreachable")
        case _:
            return UpstreamFailed("The upstream's answer could not be read.")


REFUSAL_STATUSES = {  # of errors that came inside a 200, which has no status to pass on
    OutcomeKind.CALLER_FAULT: 400,
    OutcomeKind.TOO_LARGE: 429,
    OutcomeKind.NO_ACCESS_TO_MODEL: 404,
    OutcomeKind.FORBIDDEN: 403,
    OutcomeKind.UPSTREAM_ERROR: 500,
    OutcomeKind.OVERLOADED: 503,
}


def _refusal_of(outcome: Outcome, error: ErrorBody | None, schema: Schema = Schema.OPENAI) -> Answer | GatewayError:
    """The caller's answer to an error that came in place of content, or to a body that nobody can read."""
    if error is not None and error.is_readable and outcome.kind in REFUSAL_STATUSES:
        if schema is Schema.ANTHROPIC:
            body = anthropic_error_body(outcome.message, error.type or "api_error", error.code)
        else:
            body = error_body(outcome.message, error.type or "server_error", error.param, error.code)
        headers = ((b"content-type", JSON_TYPE),)
        return Answer(REFUSAL_STATUSES[outcome.kind], headers, body, outcome=outcome.kind, code=outcome.code)
    match outcome.kind:
        case OutcomeKind.OVERLOADED:
            return AllOverloaded("The model is overloaded upstream.", retry_after_s=outcome.retry_after_s)
        case OutcomeKind.TIMED_OUT:
            return UpstreamTimedOut("The upstream did not answer in time.")
        case _:
            return UpstreamFailed("The upstream failed, and said nothing that could be passed on.")
