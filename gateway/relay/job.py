"""`Job`: one call and what it brings along, as it walks through the relay."""

import msgspec

from gateway.core.affinity import Bound
from gateway.core.attempts import Plan
from gateway.core.batch_upload import BatchUpload
from gateway.core.call import Call, Endpoint, ModelUse
from gateway.core.errors import InvalidCall
from gateway.core.ids import Instant, ModelName
from gateway.core.snapshot import Validation
from gateway.providers.base import Headers
from gateway.relay.metering import Progress
from gateway.relay.pool import Pool
from gateway.relay.ports import Upstream
from gateway.relay.spooled import SpooledBody
from gateway.wire.envelope import Envelope, form_envelope, read_envelope, replace_model
from gateway.wire.estimate import prompt_tokens
from gateway.wire.multipart import model_edits
from gateway.wire.places import Names, form_edits, renamed_at
from gateway.wire.validation import check, check_form

Body = bytes | SpooledBody


class Job(msgspec.Struct, frozen=True):
    """One call on its way."""

    call: Call
    pool: Pool
    headers: Headers
    """Those of the caller that may go upstream."""
    body: Body
    """Names the upstream's model already."""
    progress: Progress
    written: Body = b""
    """The body as the caller wrote it, from which a fallback's is made."""
    allowed_models: tuple[str, ...] = ()
    """Names or globs that the caller's key may use; empty means all."""
    began: Instant | None = None
    """When this model's turn began: its patience and its deadline count from then. None: with the call's arrival."""
    bound: Bound | None = None
    """What it names of stateful objects; None: neither it nor its answer has anything to do with one."""
    upload: BatchUpload | None = None
    """Of a batch's file in parts, what to note when the call is done."""
    way: Upstream | None = None
    """What its attempts go by, where that is the caller's own connection; None: the usual way."""
    plan: Plan = Plan()
    """What it has been through: a call whose stream broke does not go back to the account that broke it."""
    is_followed: bool = False
    """Another model is asked at once where this one's upstream is broken: no account is asked twice before."""

    @property
    def asked(self) -> bytes:
        """The caller's body, where it is in memory: what translated answers repeat of it."""
        return self.written if isinstance(self.written, bytes) else b""


def fitted(call: Call, pool: Pool, envelope: Envelope, body: Body) -> Body:
    """`body` as it may go to the pool: checked against the pool's rules, naming the pool's model.

    Raises InvalidCall for what the provider does not take.
    """
    if isinstance(body, bytes):
        check(envelope.fields, call.endpoint, pool.validation)
    elif pool.validation is not Validation.OFF:
        check_form(envelope.fields, call.endpoint)
    if call.is_stream and not pool.provider.settings.streaming:
        raise InvalidCall(
            "This provider does not stream: leave `stream` out.", param="stream", code="unsupported_value"
        )
    if pool.translation is not None:
        model = pool.model if envelope.model is None or not pool.is_model_kept else envelope.model
        return pool.translation.write_request(envelope.fields, model, is_stream=call.is_stream)
    if pool.is_model_kept or (envelope.model is None and call.endpoint.model is not ModelUse.REQUIRED):
        return body
    return renamed(body, call.endpoint, envelope.model, pool.model)


def renamed(body: Body, endpoint: Endpoint, old: ModelName | None, new: ModelName) -> Body:
    """`body` naming `new`. `old` is what its envelope said; a body that can name none stays as it is."""
    if endpoint.model_places:
        return body if old is None else renamed_places(body, endpoint, {old: new})
    if isinstance(body, SpooledBody):
        return body if body.form is None else body.with_edits(model_edits(body.form, new))
    return replace_model(body, old, new) if body else body


def renamed_places(body: Body, endpoint: Endpoint, names: Names) -> Body:
    """`body` with other names wherever it names one of these models."""
    places = endpoint.model_places
    if isinstance(body, bytes):
        return renamed_at(body, places, names) if body else body
    if body.form is None:
        return body
    since = {written: names.get(name, name) for written, name in body.names.items()}
    names = {**names, **since}  # of what the form itself calls them, for that is what is edited
    return body.with_edits(form_edits(body.form, places, names), names)


def body_for(job: Job, model: ModelName, call: Call, pool: Pool) -> Body:
    """The job's body for another model, `call` and `pool` being that one's. Raises InvalidCall as `fitted`."""
    if not job.written:  # an upgrade: its query names the model
        return b""
    written = renamed(job.written, call.endpoint, job.call.model, model)
    if isinstance(written, bytes):
        return fitted(call, pool, read_envelope(written, call.endpoint), written)
    fields = {} if written.form is None else form_envelope(written.form, call.endpoint).fields
    return fitted(call, pool, Envelope(fields=fields, model=model, is_stream=call.is_stream), written)


def charged(call: Call, pool: Pool, body: bytes) -> Call:
    """The call as the pool charges it, where another one would charge it in another way (`Pool.charges_answers`)."""
    tokens = read_envelope(body, call.endpoint).estimated_tokens if pool.charges_answers else prompt_tokens(body)
    return msgspec.structs.replace(call, estimated_tokens=tokens)
