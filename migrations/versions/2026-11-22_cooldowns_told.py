"""Rests that a person deletes are told to every process, as those are that a gateway ends.

A gateway tells what it ends before it deletes the row: an echo of that could end a rest that has begun since.
"""

from alembic import op

revision = "2026_11_22_cooldowns_told"
down_revision = "2026_11_21_batch_uploads"
branch_labels = None
depends_on = None

TELL_FUNCTION = """
CREATE FUNCTION tell_cooldown_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('gateway_health', json_build_object(
        'v', 1, 'from', 'sql',
        'recoveries', json_build_array(json_build_array(OLD.scope_kind, OLD.holder, OLD.what)))::text);
    RETURN NULL;
END
$$
"""
TELL_TRIGGER = """
CREATE TRIGGER tell_cooldown_deleted AFTER DELETE ON cooldowns FOR EACH ROW
WHEN (current_setting('application_name') <> 'gateway') EXECUTE FUNCTION tell_cooldown_deleted()
"""
"""`gateway` is what `store/engine` calls the connections of services and commands."""


def upgrade() -> None:
    op.execute(TELL_FUNCTION)
    op.execute(TELL_TRIGGER)


def downgrade() -> None:
    op.execute("DROP TRIGGER tell_cooldown_deleted ON cooldowns")
    op.execute("DROP FUNCTION tell_cooldown_deleted()")
