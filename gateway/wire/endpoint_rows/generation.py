"""Answers of models: text, images, sound, video, and the sessions in which they are spoken with."""

from typing import Final

from gateway.core.call import BodyKind, Endpoint, ModelUse, StreamKind
from gateway.wire.endpoint_rows.row import creating, delete, get, giving_secret, listing, post, settling

_HEARD: Final = ("audio", "input", "transcription", "model")
"""Who writes down what a session hears; of a session for that alone the only model."""
_HEARD_BEFORE: Final = ("input_audio_transcription", "model")
"""The same in sessions of the beta."""
_SESSION: Final = (("session", "model"), ("session", *_HEARD))

ROWS: Final[tuple[Endpoint, ...]] = (
    listing("chat.completions.list", "/chat/completions"),
    post("chat.completions", "/chat/completions", stream=StreamKind.CHAT, model=ModelUse.REQUIRED),
    delete("chat.completions.delete", "/chat/completions/{completion_id}"),
    get("chat.completions.get", "/chat/completions/{completion_id}"),
    post("chat.completions.update", "/chat/completions/{completion_id}"),
    get("chat.completions.messages", "/chat/completions/{completion_id}/messages"),
    post("completions", "/completions", stream=StreamKind.COMPLETION, model=ModelUse.REQUIRED, is_stateless=True),
    settling(
        post("responses.create", "/responses", stream=StreamKind.RESPONSES, model=ModelUse.OPTIONAL, creates="response")
    ),
    post("responses.compact", "/responses/compact", model=ModelUse.REQUIRED, creates="response"),
    post("responses.input_tokens", "/responses/input_tokens", model=ModelUse.OPTIONAL),
    delete("responses.delete", "/responses/{response_id}"),
    settling(get("responses.get", "/responses/{response_id}", stream=StreamKind.RESPONSES)),
    settling(post("responses.cancel", "/responses/{response_id}/cancel", body=BodyKind.NONE)),
    get("responses.input_items.list", "/responses/{response_id}/input_items"),
    creating("conversations.create", "/conversations", "conversation"),
    delete("conversations.delete", "/conversations/{conversation_id}"),
    get("conversations.get", "/conversations/{conversation_id}"),
    post("conversations.update", "/conversations/{conversation_id}"),
    get("conversations.items.list", "/conversations/{conversation_id}/items"),
    creating("conversations.items.create", "/conversations/{conversation_id}/items", "item"),
    delete("conversations.items.delete", "/conversations/{conversation_id}/items/{item_id}"),
    get("conversations.items.get", "/conversations/{conversation_id}/items/{item_id}"),
    post("embeddings", "/embeddings", model=ModelUse.REQUIRED, is_stateless=True),
    post("moderations", "/moderations", model=ModelUse.OPTIONAL, is_stateless=True),
    post("decisions", "/decisions", model=ModelUse.REQUIRED, is_stateless=True),
    post("content_provenance_checks", "/content_provenance_checks", body=BodyKind.MULTIPART, is_stateless=True),
    post("images.edits", "/images/edits", body=BodyKind.ANY, stream=StreamKind.EVENTS, model=ModelUse.OPTIONAL),
    post(
        "images.generations",
        "/images/generations",
        stream=StreamKind.EVENTS,
        model=ModelUse.OPTIONAL,
        is_stateless=True,
    ),
    post(
        "images.variations", "/images/variations", body=BodyKind.MULTIPART, model=ModelUse.OPTIONAL, is_stateless=True
    ),
    post("audio.speech", "/audio/speech", stream=StreamKind.EVENTS, model=ModelUse.REQUIRED),
    post(
        "audio.transcriptions",
        "/audio/transcriptions",
        body=BodyKind.MULTIPART,
        stream=StreamKind.EVENTS,
        model=ModelUse.REQUIRED,
        is_stateless=True,
    ),
    post(
        "audio.translations", "/audio/translations", body=BodyKind.MULTIPART, model=ModelUse.REQUIRED, is_stateless=True
    ),
    listing("audio.voice_consents.list", "/audio/voice_consents"),
    creating("audio.voice_consents.create", "/audio/voice_consents", "voice_consent", body=BodyKind.MULTIPART),
    delete("audio.voice_consents.delete", "/audio/voice_consents/{consent_id}"),
    get("audio.voice_consents.get", "/audio/voice_consents/{consent_id}"),
    post("audio.voice_consents.update", "/audio/voice_consents/{consent_id}"),
    creating("audio.voices.create", "/audio/voices", "voice", body=BodyKind.MULTIPART, model=ModelUse.OPTIONAL),
    delete("audio.voices.delete", "/audio/voices/{voice_id}"),
    listing("videos.list", "/videos"),
    creating("videos.create", "/videos", "video", body=BodyKind.ANY, model=ModelUse.OPTIONAL),
    creating("videos.characters.create", "/videos/characters", "character", body=BodyKind.MULTIPART),
    get("videos.characters.get", "/videos/characters/{character_id}"),
    creating("videos.edits.create", "/videos/edits", "video", body=BodyKind.ANY),
    creating("videos.extensions.create", "/videos/extensions", "video", body=BodyKind.ANY),
    delete("videos.delete", "/videos/{video_id}"),
    get("videos.get", "/videos/{video_id}"),
    get("videos.content", "/videos/{video_id}/content", is_download=True),
    creating("videos.remix", "/videos/{video_id}/remix", "video", body=BodyKind.ANY),
    creating("realtime.calls.create", "/realtime/calls", "realtime_call", body=BodyKind.ANY, model_places=_SESSION),
    post(
        "realtime.calls.accept",
        "/realtime/calls/{call_id}/accept",
        is_creating=True,
        model_places=(("model",), _HEARD),
    ),
    post("realtime.calls.hangup", "/realtime/calls/{call_id}/hangup", body=BodyKind.NONE, is_creating=True),
    post("realtime.calls.refer", "/realtime/calls/{call_id}/refer", is_creating=True),
    post("realtime.calls.reject", "/realtime/calls/{call_id}/reject", is_creating=True),
    giving_secret("realtime.client_secrets.create", "/realtime/client_secrets", model_places=_SESSION),
    giving_secret("realtime.sessions.create", "/realtime/sessions", model_places=(("model",), _HEARD_BEFORE, _HEARD)),
    giving_secret(
        "realtime.transcription_sessions.create",
        "/realtime/transcription_sessions",
        model_places=(_HEARD_BEFORE, _HEARD),
    ),
    giving_secret(
        "realtime.translations.client_secrets.create",
        "/realtime/translations/client_secrets",
        model_places=_SESSION,
    ),
    creating("live.sessions.create", "/live/sessions", "live_session"),
    post("live.sessions.accept", "/live/sessions/{session_id}/accept", is_creating=True),
    get("live.sessions.content", "/live/sessions/{session_id}/content", is_download=True),
    creating("live.sessions.fork", "/live/sessions/{session_id}/fork", "live_session"),
    post("live.sessions.hangup", "/live/sessions/{session_id}/hangup", is_creating=True),
    post("live.sessions.refer", "/live/sessions/{session_id}/refer", is_creating=True),
    post("live.sessions.reject", "/live/sessions/{session_id}/reject", is_creating=True),
)
