"""The registry: providers, accounts, routes, client keys, cooldowns, audit log; triggers; the public model prefixes.

Plain SQL on purpose: these columns and defaults are what operators write against (Postgres 13 and newer).
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_registry"
down_revision = None
branch_labels = None
depends_on = None

PROVIDERS = """
CREATE TABLE providers (
    id text NOT NULL CONSTRAINT pk_providers PRIMARY KEY,
    name text NOT NULL DEFAULT '',
    base_url text NOT NULL,
    auth_type text NOT NULL DEFAULT 'api_key',
    auth_strategy text NOT NULL DEFAULT 'api_key',
    kind text NOT NULL DEFAULT 'openai',
    supported_models jsonb NOT NULL DEFAULT '[]'::jsonb,
    settings jsonb NOT NULL DEFAULT '{}'::jsonb,
    is_active boolean NOT NULL DEFAULT true,
    managed_by text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""

ACCOUNTS = """
CREATE TABLE accounts (
    id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT pk_accounts PRIMARY KEY,
    provider_id text NOT NULL CONSTRAINT fk_accounts_provider_id_providers
        REFERENCES providers (id) ON UPDATE CASCADE ON DELETE CASCADE,
    label text NOT NULL DEFAULT 'account-' || left(gen_random_uuid()::text, 8),
    auth_data jsonb NOT NULL DEFAULT '{}'::jsonb,
    credential_digest bytea,
    quota_group text,
    tier integer NOT NULL DEFAULT 0,
    weight double precision NOT NULL DEFAULT 1,
    max_concurrency integer,
    rpm_limit integer,
    tpm_limit bigint,
    supported_models jsonb,
    metadata jsonb NOT NULL DEFAULT '{}'::jsonb,
    is_active boolean NOT NULL DEFAULT true,
    managed_by text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT uq_accounts_provider_id_label UNIQUE (provider_id, label)
)
"""

MODEL_ROUTES = """
CREATE TABLE model_routes (
    id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT pk_model_routes PRIMARY KEY,
    pattern text NOT NULL,
    provider_id text NOT NULL,
    upstream_model text,
    fallbacks jsonb NOT NULL DEFAULT '[]'::jsonb,
    priority integer NOT NULL DEFAULT 0,
    is_active boolean NOT NULL DEFAULT true,
    managed_by text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""

CLIENT_KEYS = """
CREATE TABLE client_keys (
    id uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT pk_client_keys PRIMARY KEY,
    name text NOT NULL DEFAULT '',
    owner text NOT NULL DEFAULT '',
    digest bytea NOT NULL CONSTRAINT uq_client_keys_digest UNIQUE,
    hint text NOT NULL DEFAULT '',
    models jsonb NOT NULL DEFAULT '[]'::jsonb,
    rpm integer,
    tpm bigint,
    max_concurrency integer,
    budget_usd numeric(16, 6),
    budget_period text,
    expires_at timestamptz,
    metadata jsonb NOT NULL DEFAULT '{}'::jsonb,
    is_active boolean NOT NULL DEFAULT true,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""

COOLDOWNS = """
CREATE TABLE cooldowns (
    scope_kind text NOT NULL,
    holder text NOT NULL,
    what text NOT NULL DEFAULT '',
    reason text NOT NULL,
    strikes integer NOT NULL DEFAULT 1,
    since_at timestamptz NOT NULL,
    until_at timestamptz NOT NULL,
    probe_at timestamptz NOT NULL,
    is_rejected boolean NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pk_cooldowns PRIMARY KEY (scope_kind, holder, what)
)
"""

AUDIT_LOG = """
CREATE TABLE audit_log (
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_audit_log PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    table_name text NOT NULL,
    row_id text NOT NULL DEFAULT '',
    changes jsonb NOT NULL DEFAULT '{}'::jsonb
)
"""

INDEXES = (
    "CREATE INDEX ix_accounts_credential_digest ON accounts (credential_digest)",
    "CREATE INDEX ix_cooldowns_until_at ON cooldowns (until_at)",
    "CREATE INDEX ix_audit_log_at ON audit_log (at)",
)

TOUCH_FUNCTION = """
CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$$
"""

NOTIFY_FUNCTION = """
CREATE FUNCTION notify_gateway_registry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('gateway_registry', TG_TABLE_NAME::text);
    RETURN NULL;
END
$$
"""

TOUCHED_TABLES = ("providers", "accounts", "model_routes", "client_keys", "cooldowns")
WATCHED_TABLES = ("providers", "accounts", "model_routes", "client_keys")

SEED_PRIORITY = -100
"""Below the default 0, so that an operator's row with the same pattern goes first."""

SEEDED_PREFIXES = {
    "openai": (
        *("gpt-*", "chatgpt-*", "chat-latest", "codex-*", "computer-use-*", "o1*", "o3*", "o4*"),
        *("text-embedding-*", "text-moderation-*", "omni-moderation-*", "davinci-*", "babbage-*"),
        *("dall-e-*", "gpt-image-*", "sora-*", "whisper-*", "tts-*"),
        *("ft:gpt-*", "ft:o1*", "ft:o3*", "ft:o4*", "ft:davinci-*", "ft:babbage-*"),
    ),
    "anthropic": ("claude-*",),
    "google": (
        *("gemini-*", "models/gemini-*", "gemma-*", "imagen-*", "veo-*", "learnlm-*"),
        "text-embedding-004",  # beats openai's prefix: exact goes first
    ),
    "mistral": (
        *("mistral-*", "ministral-*", "codestral-*", "devstral-*", "magistral-*", "pixtral-*", "voxtral-*"),
        *("open-mistral-*", "open-mixtral-*"),
    ),
    "deepseek": ("deepseek-*",),
    "xai": ("grok-*",),
    "cohere": ("command-*", "c4ai-*", "embed-*", "rerank-*"),
    "perplexity": ("sonar*", "pplx-*"),
    "moonshot": ("kimi-*", "moonshot-*"),
    "zhipu": ("glm-*",),
    "qwen": ("qwen*", "qwq-*"),
    # Open weights that OpenAI does not serve, though its prefixes match them; the longer prefix goes first.
    "groq": ("gpt-oss-*", "openai/gpt-oss-*", "whisper-large-*", "distil-whisper-*"),
}
"""Only names that one public provider is known by; `llama-*` and `vendor/model` are served by many."""


def upgrade() -> None:
    for statement in (PROVIDERS, ACCOUNTS, MODEL_ROUTES, CLIENT_KEYS, COOLDOWNS, AUDIT_LOG, *INDEXES):
        op.execute(statement)
    op.execute(TOUCH_FUNCTION)
    op.execute(NOTIFY_FUNCTION)
    for table in TOUCHED_TABLES:
        op.execute(
            f"CREATE TRIGGER touch_updated_at BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION touch_updated_at()"
        )
    for table in WATCHED_TABLES:
        op.execute(
            f"CREATE TRIGGER notify_gateway_registry AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION notify_gateway_registry()"
        )
    _seed()


def _seed() -> None:
    routes = sa.table(
        "model_routes",
        *(sa.column(name, sa.Text) for name in ("pattern", "provider_id", "managed_by")),
        sa.column("priority", sa.Integer),
    )
    op.bulk_insert(
        routes,
        [
            {"pattern": pattern, "provider_id": provider, "managed_by": "seed", "priority": SEED_PRIORITY}
            for provider, patterns in SEEDED_PREFIXES.items()
            for pattern in patterns
        ],
    )


def downgrade() -> None:
    for table in ("audit_log", "cooldowns", "client_keys", "model_routes", "accounts", "providers"):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP FUNCTION notify_gateway_registry()")
    op.execute("DROP FUNCTION touch_updated_at()")
