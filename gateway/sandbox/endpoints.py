"""The endpoints there are: one row each. Models' names with knobs in them are read here too."""

from collections.abc import Callable
from functools import lru_cache

import msgspec

from gateway.sandbox import bodies, media, realtime, streams
from gateway.sandbox.answer import Answer, Events, streamed, whole
from gateway.sandbox.bodies import Identity
from gateway.sandbox.config import Behaviour, matches
from gateway.sandbox.errors import ERRORS, ErrorKind, Names, worded, write_error
from gateway.sandbox.limits import Verdict
from gateway.sandbox.request import Asked, Request
from gateway.sandbox.typed_streams import pace, write_typed_error

USUAL_MODELS = (
    "gpt-4",
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4.1",
    "gpt-3.5-turbo",
    "gpt-3.5-turbo-instruct",
    "o3-mini",
    "text-embedding-3-small",
    "omni-moderation-latest",
)
_MODELS = "/v1/models"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """All that an endpoint needs for its answer."""

    path: str
    request: Request
    number: int
    created: int
    """Unix seconds."""
    asked: Asked
    behaviour: Behaviour
    headers: list[tuple[str, str]]
    models: list[str]
    """Those the key has access to."""
    obfuscates: bool
    admit: Callable[[int], Verdict]
    """Charges the call's key and model so many tokens more."""

    @property
    def who(self) -> Identity:
        return Identity(self.number, self.created, self.asked.model or "omni-moderation-latest")


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One row."""

    method: str
    answer: Callable[[Question], Answer]
    needs_body: bool = True
    required: str = ""
    """The parameter that must be there beside `model`."""
    default_model: str = ""
    """Served when no model is named; "": one must be."""

    def problem(self, asked: Asked) -> ErrorKind | None:
        """The 400 that a body deserves."""
        if not asked.model and not self.default_model:
            return ErrorKind(400, "you must provide a model parameter")
        if self.required and getattr(asked, self.required) in (None, []):
            message = f"Missing required parameter: '{self.required}'."
            return ErrorKind(400, message, code="missing_required_parameter", param=self.required)
        return _out_of_range(asked)


_RANGES = {"n": (1, 128), "dimensions": (1, 4096), "max_tokens": (0, 2**31), "max_completion_tokens": (0, 2**31)}


def _out_of_range(asked: Asked) -> ErrorKind | None:
    """The numbers that a call is charged by, or that size its answer."""
    for name, (least, most) in _RANGES.items():
        given = getattr(asked, name)
        if given is None or least <= given <= most:
            continue
        bound, sign, code = (most, "<=", "above_max") if given > most else (least, ">=", "below_min")
        words = code.replace("_max", " maximum").replace("_min", " minimum")
        message = f"Invalid '{name}': integer {words} value. Expected a value {sign} {bound}, but got {given} instead."
        return ErrorKind(400, message, code=f"integer_{code}_value", param=name)
    return None


def _chat(question: Question) -> Answer:
    asked, behaviour = question.asked, question.behaviour
    if not asked.is_stream:
        return _delayed(question, bodies.write_chat(asked, question.who, behaviour))
    events = streams.chat_events(asked, question.who, behaviour, obfuscates=question.obfuscates)
    return _stream(question, events)


def _completion(question: Question) -> Answer:
    asked, behaviour = question.asked, question.behaviour
    if not asked.is_stream:
        return _delayed(question, bodies.write_completion(asked, question.who, behaviour))
    events = streams.completion_events(asked, question.who, behaviour, obfuscates=question.obfuscates)
    return _stream(question, events)


def _stream(question: Question, events: Events) -> Answer:
    headers = [(name, value) for name, value in question.headers if name != "content-type"]
    answer = streamed([("content-type", "text/event-stream; charset=utf-8"), *headers], events)
    answer.delay_s = question.behaviour.delay_s
    return answer


def _typed_stream(question: Question, events: Events) -> Answer:
    answer = _stream(question, events)
    answer.write_error = write_typed_error
    pace(answer, question.behaviour)
    return answer


def _embeddings(question: Question) -> Answer:
    return _delayed(question, bodies.write_embeddings(question.asked, question.who))


def _moderations(question: Question) -> Answer:
    return _delayed(question, bodies.write_moderations(question.asked, question.who))


def _images(question: Question) -> Answer:
    if question.asked.is_stream:
        family = "image_edit" if question.path.endswith("edits") else "image_generation"
        return _typed_stream(question, media.image_events(family, question.created))
    return _delayed(question, media.write_images(question.asked, question.created))


def _speech(question: Question) -> Answer:
    asked = question.asked
    if asked.is_stream:
        return _typed_stream(question, media.speech_events(asked))
    return _typed(question, media.SPOKEN_FORMS.get(str(asked.response_format), "audio/mpeg"), media.speech_of(asked))


def _transcript(question: Question) -> Answer:
    asked, heard = question.asked, media.heard_in(question.request)
    if heard is None:
        problem = ErrorKind(400, "Missing required parameter: 'file'.", param="file")
        return whole(400, question.headers, write_error(problem, problem.message))
    if asked.is_stream:
        return _typed_stream(question, media.transcript_events(heard))
    if asked.response_format in {"text", "srt", "vtt"}:
        return _typed(question, "text/plain; charset=utf-8", heard.encode() + b"\n")
    return _delayed(question, media.write_transcript(heard))


def _typed(question: Question, content_type: str, body: bytes) -> Answer:
    headers = [("content-type", content_type), *[pair for pair in question.headers if pair[0] != "content-type"]]
    answer = whole(200, headers, body)
    answer.delay_s = question.behaviour.delay_s
    return answer


def _models(question: Question) -> Answer:
    return whole(200, question.headers, bodies.write_models(question.models, question.created))


def _model(question: Question) -> Answer:
    name = question.path.removeprefix(_MODELS + "/")
    if name in question.models:
        return whole(200, question.headers, bodies.write_model(name, question.created))
    kind = ERRORS["model_not_found"]
    return whole(404, question.headers, write_error(kind, worded(kind, Names(model=name))))


def _delayed(question: Question, body: bytes) -> Answer:
    answer = whole(200, question.headers, body)
    answer.delay_s = question.behaviour.delay_s
    return answer


def _realtime(question: Question) -> Answer:
    if not realtime.is_upgrade(question.request):
        return whole(400, question.headers, write_error(_NO_UPGRADE, _NO_UPGRADE.message))
    headers = realtime.upgrade_headers(question.headers)
    model = question.asked.model or realtime.DEFAULT_MODEL
    talk = realtime.Talk(model=model, number=question.number, admit=question.admit)
    return Answer(status=101, headers=headers, events=(), length=None, delay_s=question.behaviour.delay_s, talk=talk)


_NO_UPGRADE = ErrorKind(400, "This endpoint speaks WebSocket.", code="invalid_request")
ENDPOINTS: dict[str, Endpoint] = {
    "/v1/chat/completions": Endpoint(method="POST", answer=_chat, required="messages"),
    "/v1/completions": Endpoint(method="POST", answer=_completion, required="prompt"),
    "/v1/embeddings": Endpoint(method="POST", answer=_embeddings, required="input"),
    "/v1/moderations": Endpoint(
        method="POST", answer=_moderations, required="input", default_model="omni-moderation-latest"
    ),
    "/v1/images/generations": Endpoint(method="POST", answer=_images, required="prompt", default_model="dall-e-2"),
    "/v1/images/edits": Endpoint(method="POST", answer=_images, required="prompt", default_model="dall-e-2"),
    "/v1/images/variations": Endpoint(method="POST", answer=_images, default_model="dall-e-2"),
    "/v1/audio/speech": Endpoint(method="POST", answer=_speech, required="input"),
    "/v1/audio/transcriptions": Endpoint(method="POST", answer=_transcript),
    "/v1/audio/translations": Endpoint(method="POST", answer=_transcript),
    realtime.PATH: Endpoint(method="GET", answer=_realtime, default_model=realtime.DEFAULT_MODEL),
    _MODELS: Endpoint(method="GET", answer=_models, needs_body=False),
}
_ONE_MODEL = Endpoint(method="GET", answer=_model, needs_body=False)


def find(method: str, path: str) -> Endpoint | ErrorKind:
    """The endpoint, or the error of a wrong address or method."""
    endpoint = ENDPOINTS.get(path) or (_ONE_MODEL if path.startswith(_MODELS + "/") else None)
    if endpoint is None:
        return ErrorKind(404, f"Invalid URL ({method} {path})")
    if endpoint.method != method:
        hint = "(HINT: Perhaps you meant to use a different HTTP method?)"
        return ErrorKind(405, f"Not allowed to {method} on {path}. {hint}", code="method_not_supported")
    return endpoint


def base_model(name: str) -> str:
    """Without the knobs: `gpt-4o` of `gpt-4o+chunks=50`."""
    return name.partition("+")[0]


def behaviour_of(model: str, behaviours: dict[str, Behaviour]) -> Behaviour:
    """The first row that matches, then the knobs in the model's name."""
    if not behaviours and "+" not in model:
        return _USUAL
    name = base_model(model).lower()
    found = next((row for pattern, row in behaviours.items() if matches(pattern, name)), _USUAL)
    return msgspec.structs.replace(found, **_knobs(model))


_USUAL = Behaviour()


@lru_cache(maxsize=1024)
def _knobs(model: str) -> dict[str, object]:
    """What stands after the plus signs; what is no knob of `Behaviour` is left alone."""
    pairs = dict(knob.split("=", 1) for knob in model.split("+")[1:] if "=" in knob)
    try:
        given = msgspec.convert(pairs, Behaviour, strict=False)
    except msgspec.ValidationError:
        return {}
    return {name: getattr(given, name) for name in pairs}


def listed(models: tuple[str, ...] | None) -> tuple[str, ...]:
    return USUAL_MODELS if models is None else models
