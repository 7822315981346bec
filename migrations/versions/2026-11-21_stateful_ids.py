"""Stateful ids: which account has a file, a response, a batch, and whose it is."""

from alembic import op

revision = "2026_11_21_stateful_ids"
down_revision = "2026_11_21_registry"
branch_labels = None
depends_on = None

STATEFUL_IDS = """
CREATE TABLE stateful_ids (
    id text NOT NULL CONSTRAINT pk_stateful_ids PRIMARY KEY,
    kind text NOT NULL,
    provider_id text NOT NULL,
    account_id uuid NOT NULL,
    realm text,
    owner text,
    created_at timestamptz,
    is_listed boolean NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now()
)
"""

INDEXES = (
    "CREATE INDEX ix_stateful_ids_kind_account_id_created_at ON stateful_ids (kind, account_id, created_at) "
    "WHERE is_listed",
    "CREATE INDEX ix_stateful_ids_owner_kind_account_id ON stateful_ids (owner, kind, account_id) WHERE is_listed",
    "CREATE INDEX ix_stateful_ids_stored_at ON stateful_ids USING brin (stored_at)",
)
"""Responses are made by the million and never listed: the indexes that lists need are without them."""


def upgrade() -> None:
    for statement in (STATEFUL_IDS, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE stateful_ids")
