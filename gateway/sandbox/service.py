"""A request's way through the sandbox: key, script, limits, endpoint; the answer's steps come out."""

import math
import re
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache, partial
from urllib.parse import parse_qs

import msgspec

from gateway.sandbox import bodies, endpoints, realtime, response_talk
from gateway.sandbox.answer import Answer, Ending, Step, joined, perform, whole
from gateway.sandbox.config import KeyConfig, SandboxConfig, matches, own_organisation
from gateway.sandbox.endpoints import Endpoint, Question
from gateway.sandbox.errors import ERRORS, ErrorKind, Names, worded, write_error
from gateway.sandbox.faults import Fault, FaultKind, Line, Script
from gateway.sandbox.form import fields_of, read_form
from gateway.sandbox.journal import Journal, Seen
from gateway.sandbox.limits import Limits, Reading, Refusal, Verdict, rate_headers, refusal_message
from gateway.sandbox.object_calls import answer_object, place_in
from gateway.sandbox.objects import Objects, Place
from gateway.sandbox.request import Asked, Request, read_asked, read_asked_form
from gateway.sandbox.spoil import SPOILS, Performance
from gateway.sandbox.typed_streams import pace

_GARBAGE = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is not HTTP\r\n\r\n"
_STRANGER = KeyConfig()
_CREDENTIALS = frozenset({b"authorization", b"api-key"})
_TUNED = re.compile(r"ft:[^:]+:(org-[^:]+):")
"""A model that this sandbox trained: its organisation's alone."""


class _Visit(msgspec.Struct, frozen=True):
    """A request that was found in order."""

    endpoint: Endpoint
    key: KeyConfig
    asked: Asked


class Service:
    """Everything but the sockets. One per sandbox."""

    def __init__(self, config: SandboxConfig, clock: Callable[[], float]) -> None:
        self.config = config
        self.clock = clock
        self.journal = Journal(config.log_length)
        self.script = Script()
        self.behaviours = dict(config.behaviours)
        self._limits = Limits(config.limits, charges_refused=config.charges_refused)
        self._owed: dict[int, Verdict] = {}
        """By request: calls of which something is charged when their answer is done."""
        self._objects = Objects()
        self._date = lru_cache(maxsize=1)(_http_date)

    def reset(self) -> None:
        """Forgets scripts, behaviours that were set later, limits' levels and the log."""
        self.journal.clear()
        self.script.clear()
        self.behaviours = dict(self.config.behaviours)
        self._limits = Limits(self.config.limits, charges_refused=self.config.charges_refused)
        self._owed.clear()
        self._objects.clear()

    def respond(self, request: Request) -> tuple[Seen, Iterator[Step]]:
        """The log's entry of this request, and the steps that answer it."""
        seen, key, asked = self._opened(request)
        line = self._met(seen, seen.at)
        if line is not None and not line.fault.needs_answer:
            self.script.spend(line)
            return seen, self._ruin(seen, key, asked, line.fault)
        answer = self._answer(request, seen, key, asked)
        if request.method == "HEAD":
            answer.events = ()
        if line is None or answer.status != 200:
            return seen, self._perform(seen, Performance(answer=answer))
        self.script.spend(line)
        seen.fault = line.fault.kind
        answer.headers.extend(line.fault.headers.items())
        return seen, self._perform(seen, SPOILS[line.fault.kind](answer, line.fault, _names(seen)))

    def say(self, upgrade: Request, body: bytes) -> Answer:
        """What a message over the WebSocket that `upgrade` opened asks for, as if it had come over HTTP.

        Of scripted faults those are met that have a status.
        """
        headers = [pair for pair in upgrade.headers if pair[0] in _CREDENTIALS]
        headers.append((b"content-type", b"application/json"))
        request = Request("POST", upgrade.path, upgrade.query, headers, body)
        seen, key, asked = self._opened(request)
        line = self._met(seen, seen.at)
        if line is not None and line.fault.kind in ERRORS:
            self.script.spend(line)
            seen.fault = line.fault.kind
            answer = _scripted(seen, line.fault, self._headers(seen, key))
        else:
            answer = self._answer(request, seen, key, asked)
            self._settle(seen)
        self.journal.head_sent(seen, answer.status, self.clock())
        self.journal.close(seen, self.clock())
        return answer

    def _opened(self, request: Request) -> tuple[Seen, KeyConfig | None, Asked | ErrorKind]:
        """The log's entry, whose key it is, and what is asked for."""
        seen = self.journal.open(request, self.clock())
        key = self._holder(seen.key)
        if key is not None:
            seen.org, seen.project = key.org, key.project
        asked = _asked_of(request)
        if isinstance(asked, Asked):
            seen.model, seen.is_stream = asked.model or "", asked.is_stream
        return seen, key, asked

    def _met(self, seen: Seen, now: float) -> Line | None:
        model = endpoints.base_model(seen.model)
        return self.script.meet(key=seen.key, model=model, path=seen.path, is_stream=seen.is_stream, now=now)

    def _holder(self, key: str) -> KeyConfig | None:
        """Whose key it is; None: nobody's. A stranger that is let in has an organisation of its own."""
        if key in self.config.keys:
            return self.config.keys[key]
        if not key or not self.config.lets_strangers_in:
            return None
        return own_organisation(key)

    def _answer(self, request: Request, seen: Seen, key: KeyConfig | None, asked: Asked | ErrorKind) -> Answer:
        """The answer without faults: an error, or what the endpoint says."""
        headers = self._headers(seen, key)
        if request.method == "HEAD":
            request = msgspec.structs.replace(request, method="GET")
        if request.path == response_talk.PATH and realtime.is_upgrade(request):
            return self._responses(request, seen, key, headers)
        place = place_in(request)
        if place is not None and key is not None:
            return self._answer_object(request, place, seen, key, asked)
        visit = self._visit(request, key, asked)
        if isinstance(visit, ErrorKind):
            return whole(visit.status, headers, write_error(visit, worded(visit, _names(seen))))
        if visit.endpoint.needs_body:
            verdict = self._charge(seen, visit.key, visit.asked)
            headers += self._rate_headers(verdict.readings)
            if verdict.refusal is not None:
                return self._limited(headers, verdict.refusal)
        question = self._question(request, seen, visit, headers)
        if visit.asked.store and request.path.endswith("/chat/completions"):
            self._keep(question, visit.key)
        return visit.endpoint.answer(question)

    def _responses(self, request: Request, seen: Seen, key: KeyConfig | None, headers: list[tuple[str, str]]) -> Answer:
        """A WebSocket for responses. It is its messages that are charged."""
        if key is None:
            kind = ERRORS["invalid_api_key" if request.key else "missing_api_key"]
            return whole(kind.status, headers, write_error(kind, worded(kind, _names(seen))))
        talk = response_talk.ResponseTalk(partial(self.say, request))
        return Answer(status=101, headers=realtime.upgrade_headers(headers), events=(), length=None, talk=talk)

    def _answer_object(
        self, request: Request, place: Place, seen: Seen, key: KeyConfig, asked: Asked | ErrorKind
    ) -> Answer:
        """Of a call about something that lasts. It is charged where it names a model, as every other."""
        headers = self._headers(seen, key)
        if isinstance(asked, Asked) and asked.model:
            if not self._has_access(key, endpoints.base_model(asked.model)):
                kind = ERRORS["model_not_found"]
                return whole(kind.status, headers, write_error(kind, worded(kind, _names(seen))))
            verdict = self._charge(seen, key, asked)
            headers += self._rate_headers(verdict.readings)
            if verdict.refusal is not None:
                return self._limited(headers, verdict.refusal)
        answer = answer_object(request, place, self._objects, key, created=_unix_now(), headers=headers)
        pace(answer, endpoints.behaviour_of(seen.model, self.behaviours))
        return answer

    def _keep(self, question: Question, key: KeyConfig) -> None:
        """A chat that asked to be stored."""
        chat = bodies.write_chat(question.asked, question.who, question.behaviour)
        self._objects.shelf(key).put("/chat/completions", msgspec.json.decode(chat) | {"metadata": {}})

    def _visit(self, request: Request, key: KeyConfig | None, asked: Asked | ErrorKind) -> _Visit | ErrorKind:
        """A request that may be charged, or the error it deserves; in the order in which OpenAI looks."""
        endpoint = endpoints.find(request.method, request.path)
        if isinstance(endpoint, ErrorKind):
            return endpoint
        if key is None:
            return ERRORS["invalid_api_key" if request.key else "missing_api_key"]
        if isinstance(asked, ErrorKind):
            return asked
        problem = endpoint.problem(asked) if endpoint.needs_body else None
        if problem is None and asked.model and not self._has_access(key, endpoints.base_model(asked.model)):
            problem = ERRORS["model_not_found"]
        return problem or _Visit(endpoint, key, asked)

    def _charge(self, seen: Seen, key: KeyConfig, asked: Asked) -> Verdict:
        verdict = self._limits.admit(key, endpoints.base_model(seen.model), asked.charged_tokens, seen.at)
        if verdict.owed:
            self._owed[seen.number] = verdict
        return verdict

    def _question(self, request: Request, seen: Seen, visit: _Visit, headers: list[tuple[str, str]]) -> Question:
        return Question(
            path=request.path,
            request=request,
            number=seen.number,
            created=_unix_now(),
            asked=visit.asked,
            behaviour=endpoints.behaviour_of(seen.model, self.behaviours),
            headers=headers,
            models=[name for name in endpoints.listed(self.config.models) if self._has_access(visit.key, name)],
            obfuscates=self.config.sends_obfuscation and visit.asked.wants_obfuscation,
            admit=lambda tokens: self._limits.admit(visit.key, endpoints.base_model(seen.model), tokens, self.clock()),
        )

    def _has_access(self, key: KeyConfig, model: str) -> bool:
        tuned = _TUNED.match(model)
        if tuned is not None and tuned[1] != key.org:
            return False
        exists = self.config.models is None or model.lower() in {name.lower() for name in self.config.models}
        return exists and (key.models is None or any(matches(pattern, model.lower()) for pattern in key.models))

    def _ruin(self, seen: Seen, key: KeyConfig | None, asked: Asked | ErrorKind, fault: Fault) -> Iterator[Step]:
        """The steps of a fault that needs no answer. The call is charged all the same."""
        seen.fault = fault.kind
        headers = self._headers(seen, key)
        if key is not None and isinstance(asked, Asked) and asked.model:
            headers += self._rate_headers(self._charge(seen, key, asked).readings)
            self._settle(seen)
        match fault.kind:
            case FaultKind.RESET_BEFORE_HEADERS:
                return iter((Ending.RESET,))
            case FaultKind.CLOSE_BEFORE_HEADERS:
                return iter((Ending.CLOSE,))
            case FaultKind.GARBAGE_HTTP:
                return iter((_GARBAGE, Ending.CLOSE))
            case _:
                return self._perform(seen, Performance(answer=_scripted(seen, fault, headers)))

    def _perform(self, seen: Seen, performance: Performance) -> Iterator[Step]:
        answer = performance.answer
        if self.config.events_per_write > 1 and answer.length is None:
            answer.events = joined(answer.events, self.config.events_per_write)
        record = seen.events.append if self.config.records_answers else _forget
        steps = perform(
            answer,
            on_head=lambda status: self.journal.head_sent(seen, status, self.clock()),
            on_event=record,
            ending=performance.ending,
            is_whole=performance.is_whole,
        )
        return self._settling(steps, seen) if seen.number in self._owed else steps

    def _settling(self, steps: Iterator[Step], seen: Seen) -> Iterator[Step]:
        """The same steps; when they are over, or the caller is gone, what the call owes is charged."""
        try:
            for step in steps:
                if isinstance(step, Ending):
                    self._settle(seen)
                yield step
        finally:
            self._settle(seen)

    def _settle(self, seen: Seen) -> None:
        verdict = self._owed.pop(seen.number, None)
        if verdict is not None:
            self._limits.settle(verdict, self.clock())

    def _limited(self, headers: list[tuple[str, str]], refusal: Refusal) -> Answer:
        kind = ErrorKind(429, "", refusal.what, "rate_limit_exceeded")
        if not refusal.is_too_large:
            if self.config.sends_retry_after:
                headers.append(("retry-after", str(max(1, math.ceil(refusal.wait_s)))))
            if self.config.sends_retry_after_ms:
                headers.append(("retry-after-ms", str(math.ceil(refusal.wait_s * 1000))))
        message = refusal_message(refusal, sends_delay=self.config.sends_delay_text)
        return whole(429, headers, write_error(kind, message))

    def _headers(self, seen: Seen, key: KeyConfig | None) -> list[tuple[str, str]]:
        """What OpenAI and the proxies before it put on every answer."""
        headers = [
            ("date", self._date(int(self.clock()))),
            ("content-type", "application/json"),
            ("openai-version", "2020-10-01"),
            ("openai-processing-ms", "1"),
            ("x-request-id", f"req_{seen.number:032x}"),
            ("server", "cloudflare"),
            ("set-cookie", f"__cf_bm=sandbox-{seen.number}; path=/; HttpOnly; Secure; SameSite=None"),
            ("cf-ray", f"{seen.number:016x}-FRA"),
        ]
        if key is not None and self.config.sends_organization:
            headers += [("openai-organization", key.org), ("openai-project", key.project)]
        return headers

    def _rate_headers(self, readings: tuple[Reading, ...]) -> list[tuple[str, str]]:
        return rate_headers(readings) if self.config.sends_rate_headers else []


def _asked_of(request: Request) -> Asked | ErrorKind:
    """What the body asks for, or the 400 it deserves."""
    if request.method != "POST":
        return Asked(model=_model_in(request.query)) if request.path == realtime.PATH else Asked()
    content_type = request.header(b"content-type")
    try:
        if content_type.startswith("multipart/form-data"):
            return read_asked_form(fields_of(read_form(content_type, request.content) or []))
        return read_asked(request.content)
    except msgspec.ValidationError as problem:
        return ErrorKind(400, f"Invalid type: {problem}", code="invalid_type")
    except (msgspec.DecodeError, zlib.error):
        return ErrorKind(
            400,
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "
            "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)",
        )


def _model_in(query: str) -> str | None:
    return next(iter(parse_qs(query).get("model", [])), None)


def _scripted(seen: Seen, fault: Fault, headers: list[tuple[str, str]]) -> Answer:
    """The answer of a scripted error, or of one of the faults that stand instead of an answer."""
    status, text, body = 200, "application/json", (fault.body or "").encode()
    if fault.kind in ERRORS:
        kind = ERRORS[fault.kind]
        status, text = kind.status, "text/html; charset=UTF-8" if kind.html else text
        body = write_error(kind, _message(kind, fault, _names(seen)))
    elif fault.kind == FaultKind.JSON_ERROR:
        kind = ERRORS[fault.error]
        body = write_error(kind, _message(kind, fault, _names(seen)))
    elif fault.kind == FaultKind.GARBAGE_BODY and fault.body is None:
        body = b"<<<this is no JSON>>>"
    given = {"content-type": text, **{name.lower(): value for name, value in fault.headers.items()}}
    if fault.retry_after is not None:
        given["retry-after"] = fault.retry_after
    if fault.retry_after_ms is not None:
        given["retry-after-ms"] = fault.retry_after_ms
    usual = [(name, value) for name, value in headers if name not in given]
    return whole(fault.status or status, usual + list(given.items()), body)


def _message(kind: ErrorKind, fault: Fault, names: Names) -> str:
    if fault.message is not None:
        kind = msgspec.structs.replace(kind, message=fault.message)
    delay = "" if fault.delay_text is None else f" Please try again in {fault.delay_text}."
    return worded(kind, names) + delay


def _names(seen: Seen) -> Names:
    owner = seen.org or _STRANGER.org
    return Names(endpoints.base_model(seen.model), owner, seen.project or _STRANGER.project, seen.key)


def _unix_now() -> int:
    return int(datetime.now(UTC).timestamp())


def _http_date(_second: int) -> str:
    return format_datetime(datetime.now(UTC), usegmt=True)


def _forget(_event: bytes) -> None:
    """Answers are not recorded."""
