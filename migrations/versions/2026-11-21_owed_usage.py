"""Usage that comes later than its call, until it is counted."""

from alembic import op

revision = "2026_11_21_owed_usage"
down_revision = "2026_11_21_account_organizations"
branch_labels = None
depends_on = None

OWED_USAGE = """
CREATE TABLE owed_usage (
    id text NOT NULL CONSTRAINT pk_owed_usage PRIMARY KEY,
    model text,
    client_key_id text,
    owed_at timestamptz NOT NULL DEFAULT now()
)
"""


def upgrade() -> None:
    op.execute(OWED_USAGE)
    op.execute("CREATE INDEX ix_owed_usage_owed_at ON owed_usage USING brin (owed_at)")


def downgrade() -> None:
    op.execute("DROP TABLE owed_usage")
