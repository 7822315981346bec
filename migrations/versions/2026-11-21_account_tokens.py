"""Access tokens that processes share, and the one prefix of a public vendor that was missing."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_account_tokens"
down_revision = "2026_11_21_stateful_ids"
branch_labels = None
depends_on = None

ACCOUNT_TOKENS = """
CREATE TABLE account_tokens (
    account_id uuid NOT NULL CONSTRAINT pk_account_tokens PRIMARY KEY
        CONSTRAINT fk_account_tokens_account_id_accounts REFERENCES accounts (id) ON UPDATE CASCADE ON DELETE CASCADE,
    sealed jsonb NOT NULL DEFAULT '{}'::jsonb,
    expires_at timestamptz,
    claimed_until timestamptz
)
"""

FIREWORKS = {"pattern": "accounts/fireworks/*", "provider_id": "fireworks"}
SEED_PRIORITY = -100


def upgrade() -> None:
    op.execute(ACCOUNT_TOKENS)
    routes = sa.table(
        "model_routes",
        *(sa.column(name, sa.Text) for name in ("pattern", "provider_id", "managed_by")),
        sa.column("priority", sa.Integer),
    )
    op.bulk_insert(routes, [{**FIREWORKS, "managed_by": "seed", "priority": SEED_PRIORITY}])


def downgrade() -> None:
    op.execute("DELETE FROM model_routes WHERE pattern = 'accounts/fireworks/*' AND managed_by = 'seed'")
    op.execute("DROP TABLE account_tokens")
