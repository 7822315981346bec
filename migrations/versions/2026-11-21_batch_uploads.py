"""Batches' files that come in parts: where one part's last line goes on in the next."""

from alembic import op

revision = "2026_11_21_batch_uploads"
down_revision = "2026_11_21_owed_usage"
branch_labels = None
depends_on = None

BATCH_UPLOADS = """
CREATE TABLE batch_uploads (
    id text NOT NULL CONSTRAINT pk_batch_uploads PRIMARY KEY,
    begun_at timestamptz NOT NULL DEFAULT now()
)
"""

BATCH_PARTS = """
CREATE TABLE batch_parts (
    upload_id text NOT NULL,
    id text NOT NULL,
    first_end bytea NOT NULL,
    last_end bytea NOT NULL,
    held_bytes integer NOT NULL,
    lines integer NOT NULL,
    has_line_end boolean NOT NULL,
    sent_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_batch_parts PRIMARY KEY (upload_id, id)
)
"""

INDEXES = (
    "CREATE INDEX ix_batch_uploads_begun_at ON batch_uploads USING brin (begun_at)",
    "CREATE INDEX ix_batch_parts_sent_at ON batch_parts USING brin (sent_at)",
)


def upgrade() -> None:
    for statement in (BATCH_UPLOADS, BATCH_PARTS, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE batch_parts")
    op.execute("DROP TABLE batch_uploads")
