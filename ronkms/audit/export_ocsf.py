"""An audit record as an OCSF event of class API Activity (docs/formats/audit-export.md)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ronkms import __version__
from ronkms.audit.records import AuditRecord

OCSF_VERSION: Final = "1.3.0"
CATEGORY_UID: Final = 6
CLASS_UID: Final = 6003
_OTHER_ACTIVITY: Final = 99

ACTIVITY: Final = {"create": 1, "import": 1, "read": 2, "audit": 2, "rotate": 3, "state": 3}
"""``activity_id``: 1 Create, 2 Read, 3 Update. Any other is 99 with its name as ``activity_name``."""
_ACTIVITY_NAME: Final = {1: "Create", 2: "Read", 3: "Update"}

STATUS: Final = {"ok": 1, "invalid": 1, "denied": 2, "rejected": 2, "shed": 2, "error": 2}
"""``status_id``: 1 Success, 2 Failure. A verification that answered ``valid: false`` has succeeded."""
_STATUS_NAME: Final = {0: "Unknown", 1: "Success", 2: "Failure"}

SEVERITY: Final = {"ok": 1, "invalid": 1, "shed": 2, "rejected": 2, "denied": 3, "error": 4}
"""``severity_id``: 1 Informational, 2 Low, 3 Medium, 4 High; 0 is Unknown."""

_MAPPED: Final = frozenset(
    {"seq", "time", "op", "outcome", "tenant", "token", "corr_id", "key_id", "alg", "code", "detail"}
)

_encoder: Final = msgspec.json.Encoder()


def ocsf_line(record: AuditRecord) -> bytes:
    """JSON without line breaks. Raises IntegrityError: the record's time is impossible."""
    return _encoder.encode(ocsf_event(record))


def ocsf_event(record: AuditRecord) -> dict[str, Any]:
    """The event's attributes. Raises IntegrityError."""
    fields = record.fields
    op, outcome = str(fields.get("op", "")), str(fields.get("outcome", ""))
    activity = ACTIVITY.get(op, _OTHER_ACTIVITY)
    status = STATUS.get(outcome, 0)
    event: dict[str, Any] = {
        "category_uid": CATEGORY_UID,
        "category_name": "Application Activity",
        "class_uid": CLASS_UID,
        "class_name": "API Activity",
        "activity_id": activity,
        "activity_name": _ACTIVITY_NAME.get(activity, op),
        "type_uid": CLASS_UID * 100 + activity,
        "severity_id": SEVERITY.get(outcome, 0),
        "time": record.milliseconds,
        "status_id": status,
        "status": _STATUS_NAME[status],
        "metadata": _metadata(record),
        # An actor has at least one of its attributes, an endpoint its name: the log has no addresses.
        "actor": {"user": {"uid": str(fields.get("token", "")) or "none"}},
        "src_endpoint": {"name": "not recorded"},
        "api": {"operation": op, "service": {"name": "ron-kms"}},
    }
    if fields.get("corr_id"):
        event["api"]["request"] = {"uid": fields["corr_id"]}
    if fields.get("tenant"):
        event["actor"]["user"]["domain"] = fields["tenant"]
    if fields.get("code"):
        event["status_code"] = fields["code"]
        event["api"]["response"] = {"error": fields["code"]}
    if fields.get("detail"):
        event["status_detail"] = fields["detail"]
    if fields.get("key_id"):
        event["resources"] = [_resource(fields)]
    event["unmapped"] = {name: value for name, value in fields.items() if name not in _MAPPED}
    return event


def _metadata(record: AuditRecord) -> dict[str, Any]:
    fields = record.fields
    metadata: dict[str, Any] = {
        "version": OCSF_VERSION,
        "product": {"name": "ron-kms", "vendor_name": "ron-kms", "version": __version__},
        "uid": record.leaf,
        "sequence": fields["seq"],
        "log_name": "audit",
        "original_time": fields["time"],
    }
    if fields.get("corr_id"):
        metadata["correlation_uid"] = fields["corr_id"]
    if fields.get("tenant"):
        metadata["tenant_uid"] = fields["tenant"]
    return metadata


def _resource(fields: dict[str, Any]) -> dict[str, Any]:
    resource: dict[str, Any] = {"uid": fields["key_id"], "type": "key"}
    if fields.get("key_version"):
        resource["version"] = str(fields["key_version"])
    if fields.get("tenant"):
        resource["namespace"] = fields["tenant"]
    if fields.get("alg"):
        resource["labels"] = [f"alg={fields['alg']}"]
    return resource
