"""Organisations that answers named for accounts: what an operator might group."""

from alembic import op

revision = "2026_11_21_account_organizations"
down_revision = "2026_11_21_account_tokens"
branch_labels = None
depends_on = None

ACCOUNT_ORGANIZATIONS = """
CREATE TABLE account_organizations (
    account_id uuid NOT NULL CONSTRAINT pk_account_organizations PRIMARY KEY
        CONSTRAINT fk_account_organizations_account_id_accounts REFERENCES accounts (id) ON DELETE CASCADE,
    organization text NOT NULL,
    is_shared boolean,
    learned_at timestamptz NOT NULL DEFAULT now()
)
"""


def upgrade() -> None:
    op.execute(ACCOUNT_ORGANIZATIONS)


def downgrade() -> None:
    op.execute("DROP TABLE account_organizations")
