"""The life of keys over HTTP."""

from __future__ import annotations

import base64
import os
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from ronkms.domain.operation import Operation, Outcome
from ronkms.service.import_tickets import LIFETIME_SECONDS
from tests.fakes.api import FakeApi, b64


@pytest.fixture
def api(tmp_path: Path) -> FakeApi:
    return FakeApi(tmp_path)


def test_create_answers_and_describes(api: FakeApi) -> None:
    made = api.create("ML-DSA-44", "orders-1", labels={"team": "pay"}, policy={"mu": True})
    assert made == {
        "key_id": "orders-1",
        "key_version": 1,
        "alg": "ML-DSA-44",
        "usage": "sign",
        "state": "enabled",
    }
    described = api.get("keys/orders-1").json
    assert described["labels"] == {"team": "pay"}
    assert described["policy"] == {"mu": True}
    assert described["version_count"] == 1
    assert abs(described["created_at"] - time.time()) < 60
    assert [version["key_version"] for version in described["versions"]] == [1]


def test_a_key_id_is_made(api: FakeApi) -> None:
    first = api.post("keys", {"alg": "Ed25519", "usage": "sign"}).json["key_id"]
    second = api.post("keys", {"alg": "Ed25519", "usage": "sign"}).json["key_id"]
    assert first != second
    assert api.get(f"keys/{first}").status_code == 200


def test_existing_keys_are_not_replaced(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    again = api.post("keys", {"alg": "ES256", "usage": "sign", "key_id": "k"})
    assert (again.status_code, again.json["code"]) == (409, "conflict")
    assert api.get("keys/k").json["alg"] == "Ed25519"
    outcome = api.audit.records[-2]
    assert (outcome["op"], outcome["outcome"], outcome["code"]) == (
        Operation.CREATE,
        Outcome.REJECTED,
        "conflict",
    )


def test_list_pages_in_order(api: FakeApi) -> None:
    for name in ("c", "a", "e", "b", "d"):
        api.create("Ed25519", name)
    first = api.get("keys", query="limit=2").json
    assert [key["key_id"] for key in first["keys"]] == ["a", "b"]
    second = api.get("keys", query=f"limit=3&after={first['next']}").json
    assert [key["key_id"] for key in second["keys"]] == ["c", "d", "e"]
    assert "next" not in second
    assert api.get("keys", token="other;read;*").json == {"keys": []}


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "page=1", "limit=-1", "a"]
)
def test_bad_list_queries(api: FakeApi, query: str) -> None:
    assert api.get("keys", query=query).status_code == 400


def test_versions_shown_are_the_newest_100(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    for _ in range(120):
        api.post("rotate", {"key_id": "k"})
    described = api.get("keys/k").json
    assert described["version_count"] == 121
    assert [version["key_version"] for version in described["versions"]] == list(range(121, 21, -1))


def test_public_and_jwks(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    api.post("rotate", {"key_id": "k"})
    api.create("AES-256-GCM", "w")
    jwk = api.get("keys/k/public").json
    assert (jwk["key_id"], jwk["key_version"], jwk["kty"], jwk["crv"]) == ("k", 2, "OKP", "Ed25519")
    assert api.get("keys/k/public", query="key_version=1").json["key_version"] == 1
    assert api.get("keys/k/public", query="key_version=3").status_code == 404
    assert api.get("keys/w/public").status_code == 400
    published = api.get("jwks").json["keys"]
    assert sorted((key["key_id"], key["key_version"]) for key in published) == [("k", 1), ("k", 2)]
    api.post("keys/k/disable", {"key_version": 1})
    assert [key["key_version"] for key in api.get("jwks").json["keys"]] == [2]


def test_states(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    sign = {"key_id": "k", "message": ""}
    signature = api.post("sign", sign).json["signature"]
    assert api.post("keys/k/disable").json == {"key_id": "k", "state": "disabled"}
    for path, body in (
        ("sign", sign),
        ("verify", {**sign, "signature": signature}),
        ("rotate", {"key_id": "k"}),
    ):
        refused = api.post(path, body)
        assert (refused.status_code, refused.json["code"]) == (409, "key_disabled")
    assert api.post("keys/k/disable").status_code == 200, "idempotent"
    assert api.post("keys/k/enable").json["state"] == "enabled"
    assert api.post("verify", {**sign, "signature": signature}).json["valid"] is True


def test_states_of_a_version(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    api.post("rotate", {"key_id": "k"})
    assert api.post("keys/k/disable", {"key_version": 2}).json == {
        "key_id": "k",
        "key_version": 2,
        "state": "disabled",
    }
    assert api.post("sign", {"key_id": "k", "message": ""}).json["key_version"] == 1
    assert api.post("keys/k/disable", {"key_version": 9}).status_code == 404


def test_destroy_restore_and_the_window(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    scheduled = api.post("keys/k/destroy").json
    assert scheduled["state"] == "destroy_scheduled"
    assert abs(scheduled["destroy_at"] - time.time() - 7 * 86400) < 60
    assert api.post("keys/k/enable").status_code == 409
    assert api.post("keys/k/disable").status_code == 409
    assert api.post("keys/k/restore").json == {"key_id": "k", "state": "disabled"}
    assert api.post("keys/k/restore").status_code == 409
    for window in (0, 59, 365 * 86400 + 1, -1):
        assert api.post("keys/k/destroy", {"window_seconds": window}).status_code == 400
    due = api.post("keys/k/destroy", {"window_seconds": 60}).json["destroy_at"]
    assert api.service.destroy_due(due - 1) == 0
    assert api.service.destroy_due(due) == 1
    assert api.get("keys/k").json["state"] == "destroyed"
    assert api.post("keys/k/restore").status_code == 409
    assert api.post("keys", {"alg": "Ed25519", "usage": "sign", "key_id": "k"}).status_code == 409
    phases = [
        (record["phase"], record["outcome"])
        for record in api.audit.records
        if "destroyed" in record["detail"]
    ]
    assert phases == [("intent", Outcome.OK), ("outcome", Outcome.OK)]


def test_lifecycle_is_announced_and_recorded_in_order(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    api.post("rotate", {"key_id": "k"})
    api.post("keys/k/disable")
    assert [(name, fields["key_id"]) for name, fields in api.bus.events] == [
        ("KeyStateChanged", "k"),
        ("KeyRotated", "k"),
        ("KeyStateChanged", "k"),
    ]
    assert [(record["op"], record["phase"]) for record in api.audit.records] == [
        (op, phase)
        for op in (Operation.CREATE, Operation.ROTATE, Operation.STATE)
        for phase in ("intent", "outcome")
    ]


def test_nothing_changes_when_the_intent_cannot_be_recorded(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    api.audit.closed_from = len(api.audit.records)
    for path, body in (
        ("rotate", {"key_id": "k"}),
        ("keys/k/disable", None),
        ("keys", {"alg": "Ed25519", "usage": "sign", "key_id": "new"}),
        ("sign", {"key_id": "k", "message": ""}),
    ):
        refused = api.post(path, body)
        assert (refused.status_code, refused.json["code"]) == (503, "audit_unavailable")
        assert "retry-after" in refused.headers
    key = api.store.get("default", "k")
    assert (len(key.versions), key.state.value) == (1, "enabled")
    assert list(api.store.keys) == [("default", "k")]


def test_nothing_is_done_while_a_required_sink_takes_no_records(api: FakeApi) -> None:
    api.create("Ed25519", "k")
    before = list(api.audit.records)
    api.audit.held = True
    for path, body in (
        ("keys/k/disable", None),
        ("keys", {"alg": "Ed25519", "usage": "sign", "key_id": "new"}),
        ("sign", {"key_id": "k", "message": ""}),
        ("sign", {"items": [{"key_id": "k", "message": ""}]}),
        ("verify", {"key_id": "k", "message": "", "signature": ""}),
    ):
        refused = api.post(path, body)
        assert (refused.status_code, refused.json["code"]) == (503, "audit_unavailable")
    assert api.audit.records == before
    assert list(api.store.keys) == [("default", "k")]
    assert all(current == 0 for current, _ in api.arena.snapshot().inflight.values()), "no permit is kept"
    api.audit.held = False
    assert api.post("sign", {"key_id": "k", "message": ""}).status_code == 200


def wrapped_to(params: dict[str, str], material: bytes) -> str:
    public = serialization.load_der_public_key(base64.b64decode(params["public_key"]))
    assert isinstance(public, rsa.RSAPublicKey)
    kek = os.urandom(32)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    return b64(public.encrypt(kek, oaep) + keywrap.aes_key_wrap_with_padding(kek, material))


def pkcs8(key: ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_import_once_as_a_new_key_and_as_a_new_version(api: FakeApi) -> None:
    first, second = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    params = api.post("keys/import/params").json
    assert params["expires_at"] > time.time()
    body = {
        "import_id": params["import_id"],
        "wrapped_key": wrapped_to(params, pkcs8(first)),
        "alg": "Ed25519",
        "usage": "sign",
        "key_id": "imported",
    }
    made = api.post("keys/import", body)
    assert (made.status_code, made.json["key_version"]) == (201, 1)
    signature = base64.b64decode(api.post("sign", {"key_id": "imported", "message": ""}).json["signature"])
    first.public_key().verify(signature, b"")
    assert api.get("keys/imported").json["versions"][0]["origin"] == "imported"
    again = api.post("keys/import", {**body, "key_id": "twice"})
    assert (again.status_code, again.json["code"]) == (404, "not_found")

    params = api.post("keys/import/params", {}).json
    body = {**body, "import_id": params["import_id"], "wrapped_key": wrapped_to(params, pkcs8(second))}
    assert api.post("keys/import", body).status_code == 409, "the key exists, and the params are not used up"
    added = api.post("keys/import", {**body, "new_version": True})
    assert (added.status_code, added.json["key_version"]) == (201, 2)
    signature = base64.b64decode(api.post("sign", {"key_id": "imported", "message": ""}).json["signature"])
    second.public_key().verify(signature, b"")


def test_import_params_belong_to_one_tenant_and_expire(api: FakeApi) -> None:
    params = api.post("keys/import/params").json
    body = {
        "import_id": params["import_id"],
        "wrapped_key": wrapped_to(params, pkcs8(ed25519.Ed25519PrivateKey.generate())),
        "alg": "Ed25519",
        "usage": "sign",
    }
    assert api.post("keys/import", body, token="other;import;*").status_code == 404
    path = api.import_directory / params["import_id"]
    assert path.stat().st_mode & 0o777 == 0o600
    ticket = path.read_bytes().replace(str(params["expires_at"]).encode(), str(int(time.time())).encode())
    path.write_bytes(ticket)
    assert api.post("keys/import", body).status_code == 404
    os.utime(path, (0, 0))
    api.service.destroy_due(LIFETIME_SECONDS)
    assert not path.exists()


def test_import_params_altered_on_disk_do_not_open(api: FakeApi) -> None:
    params = api.post("keys/import/params").json
    path = api.import_directory / params["import_id"]
    later = str(params["expires_at"] + 1000).encode()
    path.write_bytes(path.read_bytes().replace(str(params["expires_at"]).encode(), later))
    body = {
        "import_id": params["import_id"],
        "wrapped_key": wrapped_to(params, pkcs8(ed25519.Ed25519PrivateKey.generate())),
        "alg": "Ed25519",
        "usage": "sign",
    }
    assert api.post("keys/import", body).status_code == 503


def test_import_of_garbage_uses_up_the_params(api: FakeApi) -> None:
    params = api.post("keys/import/params").json
    body = {
        "import_id": params["import_id"],
        "wrapped_key": "AAAA",
        "alg": "Ed25519",
        "usage": "sign",
        "key_id": "k",
    }
    assert api.post("keys/import", body).status_code == 400
    assert api.post("keys/import", body).status_code == 404
    assert api.get("keys/k").status_code == 404


@pytest.mark.parametrize(
    ("import_id", "status"),
    [
        ("", 400),
        ("x", 400),
        ("../../etc/passwd", 400),
        ("A" * 32, 400),
        ("0" * 31 + "\0", 400),
        ("0" * 32, 404),
    ],
)
def test_unknown_import_ids(api: FakeApi, import_id: str, status: int) -> None:
    body = {"import_id": import_id, "wrapped_key": "AAAA", "alg": "Ed25519", "usage": "sign"}
    assert api.post("keys/import", body).status_code == status
