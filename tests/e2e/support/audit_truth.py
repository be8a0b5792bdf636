"""What must hold between answers, the audit log and the store, at any moment and after any crash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.audit_records import done
from tests.e2e.support.audited_load import Answered
from tests.independent_audit_verifier import Key, verify_log
from tests.server_process import ServerProcess

IDENTITY = ("op", "tenant", "token", "corr_id", "key_id", "pid")
SHED = frozenset({"saturated", "tenant_over_share"})
"""Refusals that are counted and not recorded."""


def check_answers(answers: Iterable[Answered], records: list[dict[str, Any]]) -> None:
    """Every success has its record, and what was refused for want of a record has none but an intent, or
    the outcome that followed later."""
    recorded: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        if record.get("phase") != "intent":
            recorded.setdefault(record["corr_id"], []).append(record)
    for answer in answers:
        found = recorded.get(answer.corr_id, [])
        if not answer.ok:
            assert answer.code in SHED | {"audit_unavailable"}, answer
            assert all(record.get("phase") == "outcome" for record in found), (answer, found)
            continue
        assert len(found) == 1, (answer, found)
        record = found[0]
        assert record["op"] == answer.op, (answer, record)
        assert record["outcome"] in (("ok", "invalid") if answer.op == "verify" else ("ok",)), (
            answer,
            record,
        )
        assert record.get("items", 0) == answer.items, (answer, record)
        if not answer.items:
            assert record["key_id"] == answer.key_id, (answer, record)
            if answer.op in ("sign", "create", "rotate"):
                assert record["key_version"] == answer.key_version, (answer, record)


def identity(record: dict[str, Any]) -> tuple[str, ...]:
    """Equal in an intent and its outcome."""
    return tuple(str(record.get(name, "")) for name in IDENTITY)


def check_outcomes(records: list[dict[str, Any]]) -> None:
    """Exactly one outcome for each intent."""
    phases: dict[str, Counter[tuple[str, ...]]] = {"intent": Counter(), "outcome": Counter()}
    for record in records:
        if "phase" in record:
            phases[record["phase"]][identity(record)] += 1
    assert phases["intent"] == phases["outcome"]


def check_store(server: ServerProcess, records: list[dict[str, Any]]) -> None:
    """The outcomes ``ok`` add up to what the store has: no more and no less."""
    api = ApiClient(server.api_url, server.token)
    try:
        keys, after = {}, ""
        while True:
            page = api.get(
                f"/v1/kms/keys?limit=1000&after={after}" if after else "/v1/kms/keys?limit=1000"
            ).body
            keys |= {key["key_id"]: key for key in page["keys"]}
            if "next" not in page:
                break
            after = page["next"]
    finally:
        api.close()
    made = {(name, number + 1) for name, key in keys.items() for number in range(key["key_version"])}
    assert done(records, "create") | done(records, "rotate") == made
    states = dict.fromkeys(keys, "enabled")
    for record in records:
        if record["op"] == "state" and record["outcome"] == "ok" and record["phase"] == "outcome":
            states[record["key_id"]] = record["detail"].rpartition("state=")[2]
    assert states == {name: key["state"] for name, key in keys.items()}


def check_log(server: ServerProcess) -> int:
    """Both verifiers find the log whole; how many records it has."""
    directory: Path = server.data_dir / "audit"
    server.ronctl("audit", "verify", str(directory))
    keys = [Key(vkey) for vkey in server.ronctl("audit", "keys").stdout.split()]
    log, _, kinds = verify_log(directory, None, keys, [])
    assert kinds == {1, 6}
    return len(log.leaves)
