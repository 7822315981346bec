"""One table per file; importing this package fills `Base.metadata`."""

from gateway.store.tables.account_organizations import AccountOrganizationRow
from gateway.store.tables.account_tokens import AccountTokenRow
from gateway.store.tables.accounts import AccountRow
from gateway.store.tables.audit_log import AuditRow
from gateway.store.tables.base import Base
from gateway.store.tables.batch_uploads import BatchPartRow, BatchUploadRow
from gateway.store.tables.client_keys import ClientKeyRow
from gateway.store.tables.cooldowns import CooldownRow
from gateway.store.tables.model_routes import ModelRouteRow
from gateway.store.tables.owed_usage import OwedUsageRow
from gateway.store.tables.providers import ProviderRow
from gateway.store.tables.stateful_ids import StatefulIdRow

__all__ = [
    "AccountOrganizationRow",
    "AccountRow",
    "AccountTokenRow",
    "AuditRow",
    "Base",
    "BatchPartRow",
    "BatchUploadRow",
    "ClientKeyRow",
    "CooldownRow",
    "ModelRouteRow",
    "OwedUsageRow",
    "ProviderRow",
    "StatefulIdRow",
]
