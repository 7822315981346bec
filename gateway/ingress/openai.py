"""The data plane under /v1: one handler for every row of `wire/endpoints`.

A plain ASGI application: bytes in, bytes out. The walk of a call: find the row, know the caller, read the body, read
the call, find its pool, check it, relay it, send the answer.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from functools import partial

import msgspec

from gateway.core.affinity import upstream_names
from gateway.core.call import BodyKind, Call, Endpoint, ModelUse, Schema
from gateway.core.errors import DRAINING, CallRefused, GatewayError, ModelNotFound, NotAllowed, ShuttingDown
from gateway.core.ids import CallId, ModelName
from gateway.core.outcome import OutcomeKind
from gateway.core.routing import without_accounts
from gateway.core.snapshot import ClientKey
from gateway.ingress.asgi import HangUp, Receive, Scope, Send, send_coming, send_whole
from gateway.ingress.asked import ANTHROPIC_VERSION, as_spoken, endpoint_of, envelope_of, is_upload, methods_of
from gateway.ingress.body import CallerGone, read_body
from gateway.ingress.caller import check_model
from gateway.ingress.front import DataPlaneApp
from gateway.ingress.jobs import call_of, job_of
from gateway.ingress.own_key import batch_models, check_lines, own_key_in
from gateway.ingress.plane import JSON, PREFIX, UNKNOWN, DataPlane, end_of, own_headers
from gateway.ingress.upload import json_in, named_in_upload, read_upload, spooled_form
from gateway.providers.base import Headers
from gateway.relay.answer import Answer, ComingBody
from gateway.relay.aside import LARGE_BYTES, aside
from gateway.relay.batch_file import read_batch, renamed_batch
from gateway.relay.batch_uploads import ENDPOINTS as UPLOADS
from gateway.relay.batch_uploads import check_names
from gateway.relay.job import Body, Job
from gateway.relay.metering import CLIENT_GONE, Progress
from gateway.relay.own_keys import OwnKey
from gateway.relay.spooled import Spool, SpooledBody
from gateway.telemetry.events import CallEnd, Event
from gateway.telemetry.log import get_logger
from gateway.wire.batch_lines import BatchLines
from gateway.wire.endpoints import UNLISTED_MODEL, path_values
from gateway.wire.envelope import Envelope, form_envelope, peek_fields, read_envelope
from gateway.wire.errors import error_headers, write_error
from gateway.wire.headers import request_headers
from gateway.wire.message_ids import renamed_batch_models
from gateway.wire.multipart import check_clear
from gateway.wire.paths import check_path
from gateway.wire.references import Named, may_refer, references_of

_JSON_BODY = BodyKind.JSON  # bound: Python 3.11 takes as long to find a member as to call a function
_OPENAI = Schema.OPENAI


def data_plane(plane: DataPlane) -> DataPlaneApp:
    """The ASGI application of /v1, for `front.Front`."""

    def relay_endpoint(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return Exchange(plane, scope, receive, send).run()

    return relay_endpoint


class Exchange:
    """One request and its answer. Fits `jobs.Asked`."""

    __slots__ = (
        "_coming", "_receive", "_schema", "_scope", "_send", "_spool", "call_id", "headers", "own_key", "path", "plane",
        "progress",
    )  # fmt: skip

    def __init__(self, plane: DataPlane, scope: Scope, receive: Receive, send: Send) -> None:
        self.plane = plane
        self._scope = scope
        self._receive = receive
        self._send = send
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.path: str = scope["raw_path"].removeprefix(PREFIX).decode("latin-1")
        self.call_id = CallId(f"req_{plane.rng.getrandbits(128):032x}")
        self._schema = _OPENAI
        """Whose form the caller's errors have."""
        self.own_key: OwnKey | None = None
        """A provider's, that the caller brought."""
        self._spool: Spool | None = None
        """Holds the call's body until the call is over."""
        self._coming: ComingBody | None = None
        """Set once the head of a body that is on its way went out: from then on no status can be sent."""
        call = Call(id=self.call_id, endpoint=UNKNOWN)
        self.progress = Progress(call, plane.meter, plane.clock, plane.clock.now())

    async def run(self) -> None:
        """Answers, whatever happens. The watch cancels this task when the caller goes away."""
        plane, progress = self.plane, self.progress
        plane.meter.call_started()
        task = plane.gate.enter()
        hang_up = HangUp(task, self._receive)
        try:
            if self._scope["method"] == "OPTIONS" and await self._preflight():
                return
            job_or_answer = await self._read()
            plane.hang_ups.add(hang_up)
            answer = job_or_answer if isinstance(job_or_answer, Answer) else await self._relayed(job_or_answer)
            await self._send_answer(answer)
        except GatewayError as error:
            await self._send_error(error)
        except CallerGone:
            progress.finish(OutcomeKind.CANCELLED, CLIENT_GONE, is_complete=False)
        except asyncio.CancelledError:
            if hang_up.is_gone:
                progress.finish(OutcomeKind.CANCELLED, CLIENT_GONE, is_complete=False)
            else:
                await self._cut_short()
                if not plane.gate.is_draining:
                    raise  # neither the caller nor the drain: somebody ends this task
            task.uncancel()
        except Exception as error:  # noqa: BLE001  # the ingress boundary: a bug of ours becomes a plain 500
            get_logger().exception(Event.CALL_CRASHED, call_id=self.call_id, error=type(error).__name__)
            await self._crashed()
        finally:
            plane.hang_ups.remove(hang_up)
            plane.gate.leave(task)
            if self._spool is not None:
                self._spool.close()

    @property
    def query(self) -> bytes:
        query: bytes = self._scope["query_string"]
        return query

    @property
    def passed_headers(self) -> Headers:
        return request_headers(self._scope["headers"])

    # -- reading -------------------------------------------------------------------------------------------------

    async def _read(self) -> Job | Answer:
        """The call, checked as far as it can be without its pool, or the answer of an endpoint that is our own."""
        plane = self.plane
        endpoint = as_spoken(endpoint_of(self._scope["method"], self.path), self.headers)
        self._schema = endpoint.schema
        key = plane.callers.caller_of(self.headers, plane.board.snapshot, plane.clock)
        if plane.gate.is_draining:
            raise ShuttingDown(DRAINING, retry_after_s=1.0)
        own_key = self.own_key = own_key_in(self.headers) if plane.own_keys.are_taken else None
        if endpoint.is_own and own_key is None:
            return self._own(endpoint, key)
        if endpoint.gives_secret and own_key is None:
            self._check_secrets(key)
        if endpoint.body is not _JSON_BODY and is_upload(endpoint, self.headers):
            return await self._upload(endpoint, key)
        body = await read_body(
            self._receive,
            max_bytes=plane.max_json_bytes,
            encoding=self.headers.get(b"content-encoding"),
            declared=self.headers.get(b"content-length"),
        )
        if endpoint.body is _JSON_BODY and not body.startswith(b"{"):
            job = await self._form(endpoint, key, body)
            if job is not None:
                return job
        if len(body) <= LARGE_BYTES:
            call, envelope, named = self._looked_into(endpoint, key, body)
        else:
            call, envelope, named = await aside(self._looked_into, endpoint, key, body)
        if named is None:
            if own_key is not None and (models := batch_models(call, envelope.fields)):
                body = await self._own_calls(call, body, models)
            return job_of(self, call, key, envelope, body)
        return await self._bound(call, key, envelope, body, named)

    def _looked_into(
        self, endpoint: Endpoint, key: ClientKey | None, body: bytes
    ) -> tuple[Call, Envelope, Named | None]:
        """A call by its body, and what that names; None: it cannot name anything that we look after."""
        if endpoint.body is _JSON_BODY:
            envelope = read_envelope(body, endpoint)
        else:
            envelope = envelope_of(endpoint, self.headers, self.path, self.query, body)
        call = call_of(self, endpoint, key, envelope)
        if self.own_key is not None:
            check_lines(key, call, envelope.fields, body)
            return call, envelope, None
        if not may_refer(call, envelope.fields, body):
            return call, envelope, None
        fields = envelope.fields if endpoint.path else peek_fields(body)
        return call, envelope, references_of(call, fields, body=body)

    async def _bound(  # a call and what was read of it, by name
        self,
        call: Call,
        key: ClientKey | None,
        envelope: Envelope,
        body: Body,
        named: Named,
        batch: BatchLines | None = None,
    ) -> Job:
        """The job of a call that has to do with stateful objects: it goes where these are."""
        upload = None
        if call.endpoint.path in UPLOADS:
            narrowed = partial(self.plane.affinity.narrowed, call)
            batch, upload = await self.plane.uploads.read(
                call, envelope.fields, body, narrowed, is_owned=key is not None
            )
        others, models = named.others, named.models if batch is None else batch.models
        for model in models:
            check_model(key, model)
        if batch is not None:
            batch.check(is_owned=key is not None)
            others = others + batch.references
        call, bound = await self.plane.affinity.bind(
            call, named.path, others, keeps_chats=named.keeps_chats, models=models
        )
        names = upstream_names(self.plane.board.snapshot, call, models) if models else {}
        if upload is not None:
            check_names(names)
        elif isinstance(body, SpooledBody):
            body = body if batch is None else await renamed_batch(body, names)
        elif names:
            body = await aside(renamed_batch_models, body, names)
        job = job_of(self, call, key, envelope, body, bound)
        return job if upload is None else msgspec.structs.replace(job, upload=upload)

    async def _own_calls(self, call: Call, body: bytes, models: Sequence[ModelName]) -> bytes:
        """A batch of messages of a caller with a provider's key, as `_own_lines`."""
        names = upstream_names(without_accounts(self.plane.board.snapshot), call, models)
        return await aside(renamed_batch_models, body, names) if names else body

    async def _own_lines(self, call: Call, key: ClientKey | None, body: SpooledBody) -> SpooledBody:
        """A batch's file of a caller with a provider's key: its lines name models as all calls with that key do."""
        batch = await read_batch(body, None) if call.endpoint.creates == "file" else None
        if batch is None:
            return body
        for model in batch.models:
            check_model(key, model)
        batch.check(is_owned=key is not None and bool(key.models))
        snapshot = without_accounts(self.plane.board.snapshot)
        return await renamed_batch(body, upstream_names(snapshot, call, batch.models))

    def _check_secrets(self, key: ClientKey | None) -> None:
        if not self.plane.gives_client_secrets:
            raise NotAllowed(
                "Client secrets let their holder speak to the provider past this gateway, so they are not given out: "
                "open /v1/realtime here with your own key. Operator: `realtime.client_secrets: true` allows them.",
                code="client_secrets_refused",
            )
        if key is not None and key.models:
            raise NotAllowed(
                "This client key may use some models alone, and nobody could hold a client secret to them.",
                code="client_secrets_refused",
            )

    async def _upload(self, endpoint: Endpoint, key: ClientKey | None) -> Job:
        """A call whose body is a form or a file. Its patience begins when it is whole: sending it takes time."""
        plane, headers = self.plane, self.headers
        spool = self._spool = Spool(plane.spool_folder)
        body = await read_upload(
            self._receive,
            spool,
            content_type=headers.get(b"content-type", b""),
            max_bytes=plane.max_body_bytes,
            encoding=headers.get(b"content-encoding"),
            declared=headers.get(b"content-length"),
        )
        return await self._uploaded(endpoint, key, body)

    async def _form(self, endpoint: Endpoint, key: ClientKey | None, body: bytes) -> Job | None:
        """A call whose body could be JSON, but is a form; None: it is none."""
        spool = self._spool = Spool(self.plane.spool_folder)
        form = await spooled_form(body, self.headers.get(b"content-type", b""), spool)
        return None if form is None else await self._uploaded(endpoint, key, form)

    async def _uploaded(self, endpoint: Endpoint, key: ClientKey | None, body: SpooledBody) -> Job:
        envelope = Envelope() if body.form is None else form_envelope(body.form, endpoint)
        call = call_of(self, endpoint, key, envelope)
        names_objects = self.own_key is None and not endpoint.is_stateless
        lacks_model = call.model is None and endpoint.model is ModelUse.REQUIRED
        is_owners = key is not None and (names_objects or bool(key.models))
        if body.form is not None and (is_owners or lacks_model):
            check_clear(body.form)
        if names_objects:
            narrowed = partial(self.plane.affinity.narrowed, call)
            batch = await read_batch(body, narrowed) if endpoint.creates == "file" else None
            plain = await json_in(body, self.plane.max_json_bytes, is_owned=key is not None)
            asked = (call, key, body.form, plain)
            named = named_in_upload(*asked) if body.size <= LARGE_BYTES else await aside(named_in_upload, *asked)
            job = await self._bound(call, key, envelope, body, named, batch)
        else:
            job = job_of(self, call, key, envelope, await self._own_lines(call, key, body))
        return msgspec.structs.replace(job, began=self.plane.clock.now())

    def _own(self, endpoint: Endpoint, key: ClientKey | None) -> Job | Answer:
        self.progress.call = Call(id=self.call_id, endpoint=endpoint, key_id=None if key is None else key.id)
        if ANTHROPIC_VERSION in self.headers:  # both APIs list models at the same path
            self._schema = Schema.ANTHROPIC
        name = path_values(endpoint, self.path).get("model", "")
        try:
            query = self.query
            body = self.plane.catalog.answer(name, self.plane.board.snapshot, key, self._schema, query)
        except ModelNotFound as unlisted:
            return self._asked_upstream(ModelName(name), key, unlisted)
        return Answer(200, JSON, body)

    def _asked_upstream(self, model: ModelName, key: ClientKey | None, unlisted: ModelNotFound) -> Job:
        """Whether there is a model that no list has: lists are read now and then, and some leave names out."""
        check_path(self.path)
        endpoint = as_spoken(UNLISTED_MODEL, self.headers)
        try:
            envelope = Envelope(model=model)
            job = job_of(self, call_of(self, endpoint, key, envelope), key, envelope, b"")
        except CallRefused:
            raise unlisted from None
        members = job.pool.members
        if not (job.pool.is_model_kept and members and members[0].destination.lists_models):
            raise unlisted
        return job

    # -- answering -----------------------------------------------------------------------------------------------

    def _relayed(self, job: Job) -> Awaitable[Answer]:
        plane = self.plane
        if job.bound is not None:
            return plane.stateful.relay_call(job)
        relay = plane.relay if self.own_key is None else plane.own_keys
        return relay.relay_call(job)

    def _own_headers(self) -> Headers:
        headers = own_headers(self.call_id, self.progress)
        if self.plane.cors.origins:
            headers += self.plane.cors.answer_headers(self.headers)
        return headers

    async def _send_answer(self, answer: Answer) -> None:
        headers = answer.headers + self._own_headers()
        if answer.coming is not None:
            self._coming = answer.coming
            await send_coming(self._send, answer.status, headers, answer.coming, self.plane.keep_alives)
            return
        await send_whole(self._scope, self._send, answer.status, headers, answer.body)
        self.progress.sent_whole(len(answer.body))
        self.progress.finish(answer.outcome, answer.status, code=answer.code)

    async def _send_error(self, error: GatewayError) -> None:
        body = write_error(error, self._schema, call_id=self.call_id)
        headers = (*JSON, *error_headers(error), *self._own_headers())
        if self._schema is Schema.ANTHROPIC:
            headers += ((b"request-id", self.call_id.encode()),)
        if error.status == 405:  # RFC 9110 §15.5.6
            headers += ((b"allow", ", ".join(methods_of(self.path)).encode()),)
        elif error.status == 426:  # RFC 9110 §15.5.22
            headers += ((b"upgrade", b"websocket"),)
        await send_whole(self._scope, self._send, error.status, headers, body)
        self.progress.finish(end_of(error), error.status, code=error.code)

    async def _crashed(self) -> None:
        if self._coming is None:
            error = GatewayError("The gateway failed on this call. Its operator finds this id in the log.")
            await self._send_error(error)
        self.progress.finish(CallEnd.CRASHED, 500, code="internal_error", is_complete=False)

    async def _cut_short(self) -> None:
        """The drain ran out of time: the caller learns why, in the form that its answer still allows."""
        error = ShuttingDown(DRAINING, retry_after_s=1.0)
        if self._coming is None:
            await self._send_error(error)
            return
        last_words = self._coming.last_words(error)
        if last_words:
            await self._send({"type": "http.response.body", "body": last_words, "more_body": False})
        self.progress.finish(CallEnd.SHUTTING_DOWN, 200, code=error.code, is_complete=False)

    async def _preflight(self) -> bool:
        headers = self.plane.cors.preflight_headers(self.headers)
        if headers is None:
            return False
        await send_whole(self._scope, self._send, 204, headers, b"")
        self.progress.finish(OutcomeKind.OK, 204)
        return True
