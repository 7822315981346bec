"""Rests that a person writes into `cooldowns` are told to every process as the rows say: TRUNCATE, UPDATE and INSERT.

DELETE is told by `2026_11_22_cooldowns_told`; what gateways write themselves they have told before. A changed row is
told as a recovery of its scope and a park in one message: a person who shortens a rest wants it shorter, where of the
parks that gateways tell the later deadline wins.
"""

from alembic import op

revision = "2026_11_22_cooldowns_edited"
down_revision = "2026_11_22_cooldowns_told"
branch_labels = None
depends_on = None

FIT_FUNCTION = """
CREATE FUNCTION fit_cooldown() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.until_at := greatest(least(NEW.until_at, '9000-01-01 00:00:00+00'), '1970-01-01 00:00:00+00');
    IF TG_OP = 'UPDATE' AND NEW.probe_at = OLD.probe_at AND OLD.probe_at >= OLD.until_at THEN
        NEW.probe_at := NEW.until_at;
    END IF;
    NEW.probe_at := least(NEW.probe_at, NEW.until_at);
    RETURN NEW;
END
$$
"""
"""The probe goes at the end of the rest, wherever a person moved that; processes cannot read `infinity`."""
TELL_FUNCTION = """
CREATE FUNCTION tell_cooldown_edited() RETURNS trigger LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    gone json := '[]';
BEGIN
    IF TG_OP = 'UPDATE' THEN
        gone := json_build_array(json_build_array(OLD.scope_kind, OLD.holder, OLD.what));
    END IF;
    PERFORM pg_notify('gateway_health', json_build_object(
        'v', 1, 'from', 'sql', 'recoveries', gone,
        'parks', json_build_array(json_build_array(NEW.scope_kind, NEW.holder, NEW.what, NEW.reason, NEW.strikes,
            NEW.since_at, NEW.until_at, NEW.probe_at, NEW.is_rejected)))::text);
    RETURN NULL;
END
$$
"""
TRUNCATED_FUNCTION = """
CREATE FUNCTION tell_cooldowns_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('gateway_health', json_build_object(
        'v', 1, 'from', 'sql',
        'recoveries', json_build_array(json_build_array(scope_kind, holder, what)))::text) FROM cooldowns;
    RETURN NULL;
END
$$
"""
BY_A_PERSON = "WHEN (current_setting('application_name') <> 'gateway')"
"""`gateway` is what `store/engine` calls the connections of services and commands."""
TRIGGERS = {
    "fit_cooldown": "BEFORE INSERT OR UPDATE ON cooldowns FOR EACH ROW",
    "tell_cooldown_edited": "AFTER INSERT OR UPDATE ON cooldowns FOR EACH ROW",
    "tell_cooldowns_truncated": "BEFORE TRUNCATE ON cooldowns FOR EACH STATEMENT",
}


def upgrade() -> None:
    for statement in (FIT_FUNCTION, TELL_FUNCTION, TRUNCATED_FUNCTION):
        op.execute(statement)
    for name, moment in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} {moment} {BY_A_PERSON} EXECUTE FUNCTION {name}()")


def downgrade() -> None:
    for name in TRIGGERS:
        op.execute(f"DROP TRIGGER {name} ON cooldowns")
        op.execute(f"DROP FUNCTION {name}()")
