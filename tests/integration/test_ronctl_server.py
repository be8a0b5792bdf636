"""``ronctl`` against a real server."""

from __future__ import annotations

import base64
import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from tests.server_process import ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("ronctl") / "data") as running:
        yield running


def call(server: ServerProcess, token: str, path: str, body: dict[str, object]) -> httpx.Response:
    return httpx.post(
        f"{server.api_url}/v1/kms/{path}", json=body, headers={"Authorization": f"Bearer {token}"}
    )


def sign_status(server: ServerProcess, token: str, key_id: str) -> int:
    return call(server, token, "sign", {"key_id": key_id, "message": "aGVsbG8="}).status_code


def audit_records(server: ServerProcess) -> list[dict[str, object]]:
    lines = [path.read_text().splitlines() for path in sorted((server.data_dir / "audit").glob("*.jsonl"))]
    return [json.loads(line) for segment in lines for line in segment]


def test_status(server: ServerProcess) -> None:
    shown = json.loads(server.ronctl("status", "--json").stdout)
    assert f"http://{shown['api']}" == server.api_url
    assert (shown["pid"], shown["missing"], shown["tls"], shown["capability_root"]) == (
        server.pid,
        [],
        False,
        1,
    )
    assert "ready            yes" in server.ronctl("status").stdout


def test_mint_prints_the_token_alone(server: ServerProcess) -> None:
    done = server.ronctl(
        "cap", "mint", "--tenant", "t1", "--op", "sign", "--op", "verify", "--key", "orders-*", "--ttl", "1h"
    )
    token = done.stdout.removesuffix("\n")
    assert token
    assert not set(token) & set(" \n")
    shown = server.ronctl("cap", "inspect", token).stdout
    for fact in ('tenant("t1");', 'right("sign", "orders-*");', 'right("verify", "orders-*");'):
        assert fact in shown


def test_keys_life(server: ServerProcess) -> None:
    server.ronctl("keys", "create", "orders-1", "--alg", "Ed25519", "--label", "team=blue")
    made = json.loads(server.ronctl("keys", "create", "--alg", "AES-256-GCM").stdout)["key_id"]
    listed = server.ronctl("keys", "list").stdout
    assert "orders-1" in listed
    assert made in listed
    assert json.loads(server.ronctl("keys", "rotate", "orders-1").stdout)["key_version"] == 2
    described = json.loads(server.ronctl("keys", "describe", "orders-1").stdout)
    assert described["labels"] == {"team": "blue"}
    assert len(described["versions"]) == 2
    token = server.mint(op=["sign"], key="orders-*")
    assert sign_status(server, token, "orders-1") == 200
    server.ronctl("keys", "disable", "orders-1")
    assert sign_status(server, token, "orders-1") == 409
    server.ronctl("keys", "enable", "orders-1")
    assert sign_status(server, token, "orders-1") == 200
    server.ronctl("keys", "destroy", "orders-1", "--window", "1d", "--force")
    assert "destroy_scheduled" in server.ronctl("keys", "list").stdout
    server.ronctl("keys", "restore", "orders-1")
    server.ronctl("keys", "enable", "orders-1", "--key-version", "1")
    public = load_pem_public_key(server.ronctl("keys", "public", "orders-1").stdout.encode())
    assert isinstance(public, ed25519.Ed25519PublicKey)
    assert json.loads(server.ronctl("keys", "public", "orders-1", "--format", "jwk").stdout)["kty"] == "OKP"


@pytest.mark.parametrize("alg", ["Ed25519", "ES256", "PS256"])
@pytest.mark.parametrize("encrypted", [False, True])
def test_import_wraps_here(server: ServerProcess, tmp_path: Path, alg: str, encrypted: bool) -> None:
    private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if alg == "Ed25519":
        private = ed25519.Ed25519PrivateKey.generate()
    elif alg == "ES256":
        private = ec.generate_private_key(ec.SECP256R1())
    else:
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    encryption = BestAvailableEncryption(b"open sesame") if encrypted else NoEncryption()
    file, passphrase = tmp_path / "key.pem", tmp_path / "passphrase"
    file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    passphrase.write_text("open sesame\n")
    key_id = f"imported-{alg.lower()}-{int(encrypted)}"
    extra = ["--passphrase-file", str(passphrase)] if encrypted else []
    server.ronctl("keys", "import", str(file), "--alg", alg, "--key-id", key_id, *extra)
    exported = load_pem_public_key(server.ronctl("keys", "public", key_id).stdout.encode())
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert exported.public_bytes(*form) == private.public_key().public_bytes(*form)


def test_import_of_a_post_quantum_and_a_raw_key(server: ServerProcess, tmp_path: Path) -> None:
    private = mldsa.MLDSA65PrivateKey.generate()
    file = tmp_path / "key"
    file.write_bytes(private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    server.ronctl("keys", "import", str(file), "--alg", "ML-DSA-65", "--key-id", "imported-pq")
    exported = load_pem_public_key(server.ronctl("keys", "public", "imported-pq").stdout.encode())
    assert isinstance(exported, mldsa.MLDSA65PublicKey)
    assert exported.public_bytes_raw() == private.public_key().public_bytes_raw()
    file.write_bytes(os.urandom(32))
    server.ronctl("keys", "import", str(file), "--alg", "AES-256-GCM", "--key-id", "imported-aes")
    token = server.mint(op=["wrap", "unwrap"], key="imported-aes")
    wrapped = call(server, token, "wrap", {"key_id": "imported-aes", "plaintext": "aGVsbG8="}).json()[
        "ciphertext"
    ]
    unwrapped = call(server, token, "unwrap", {"key_id": "imported-aes", "ciphertext": wrapped})
    assert unwrapped.json()["plaintext"] == "aGVsbG8="
    again = ["keys", "import", str(file), "--alg", "AES-256-GCM", "--key-id", "imported-aes"]
    assert server.ronctl(*again, check=False).stderr.startswith("error: conflict:")
    assert json.loads(server.ronctl(*again, "--new-version").stdout)["key_version"] == 2


def test_import_says_what_is_wrong(server: ServerProcess, tmp_path: Path) -> None:
    file = tmp_path / "key"
    key = ed25519.Ed25519PrivateKey.generate()
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))
    done = server.ronctl("keys", "import", str(file), "--alg", "Ed25519", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the key file is encrypted")
    file.write_bytes(b"no key at all")
    done = server.ronctl("keys", "import", str(file), "--alg", "Ed25519", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: bad_request: ")


def test_another_tenant_sees_nothing(server: ServerProcess) -> None:
    server.ronctl("--tenant", "t2", "keys", "create", "hidden", "--alg", "Ed25519")
    assert "hidden" not in server.ronctl("keys", "list").stdout
    done = server.ronctl("keys", "describe", "hidden", check=False)
    assert (done.returncode, done.stderr[:17]) == (1, "error: not_found:")


def test_token_file_instead_of_a_minted_one(server: ServerProcess, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(server.mint(op=["read"]) + "\n")
    server.ronctl("--token-file", str(file), "keys", "list")
    done = server.ronctl("--token-file", str(file), "keys", "create", "--alg", "Ed25519", check=False)
    assert (done.returncode, done.stderr[:14]) == (1, "error: denied:")
    assert file.read_text().strip() not in done.stderr


def test_attenuate_offline_then_use(server: ServerProcess, tmp_path: Path) -> None:
    server.ronctl("keys", "create", "att-1", "--alg", "Ed25519")
    server.ronctl("keys", "create", "att-2", "--alg", "Ed25519")
    message = tmp_path / "message"
    message.write_bytes(b"hello")
    whole = tmp_path / "token"
    whole.write_text(server.mint(op=["sign", "verify"], key="att-*"))
    narrow = server.ronctl(
        "cap",
        "attenuate",
        f"@{whole}",
        "--op",
        "sign",
        "--key",
        "att-1",
        "--message-file",
        str(message),
        "--ttl",
        "5m",
    ).stdout.strip()
    assert sign_status(server, narrow, "att-1") == 200
    assert sign_status(server, narrow, "att-2") == 403
    other = {"key_id": "att-1", "message": base64.b64encode(b"other").decode()}
    assert call(server, narrow, "sign", other).status_code == 403
    assert sign_status(server, whole.read_text(), "att-2") == 200


def test_revoke_a_token_and_an_id(server: ServerProcess) -> None:
    server.ronctl("keys", "create", "rev-1", "--alg", "Ed25519")
    tokens = [server.mint(op=["sign"], key="rev-*") for _ in range(3)]
    assert [sign_status(server, token, "rev-1") for token in tokens] == [200, 200, 200]
    server.ronctl("cap", "revoke", tokens[0])
    inspected = server.ronctl("cap", "inspect", tokens[1]).stdout
    token_id = inspected.split()[2]
    server.ronctl("cap", "revoke", token_id)
    assert [sign_status(server, token, "rev-1") for token in tokens] == [401, 401, 200]
    assert token_id in server.ronctl("cap", "revoked").stdout


def test_rotate_and_withdraw_roots(server: ServerProcess) -> None:
    server.ronctl("keys", "create", "root-1", "--alg", "Ed25519")
    before = server.mint(op=["sign"], key="root-*")
    newest = int(server.ronctl("cap", "rotate").stdout.split()[1])
    after = server.mint(op=["sign"], key="root-*")
    assert [sign_status(server, token, "root-1") for token in (before, after)] == [200, 200]
    assert server.ronctl("cap", "withdraw", str(newest), check=False).returncode == 1
    for root in range(1, newest):
        server.ronctl("cap", "withdraw", str(root))
    assert [sign_status(server, token, "root-1") for token in (before, after)] == [401, 200]
    assert server.ronctl("cap", "roots").stdout.startswith(f"{newest}  ed25519/")


def test_config_get_reads_back(server: ServerProcess, tmp_path: Path) -> None:
    file = tmp_path / "kms.toml"
    file.write_text(server.ronctl("config", "get", "ron-kms").stdout)
    assert server.ronctl("config", "check", str(file)).stdout == f"{file}: good\n"
    file.write_text(file.read_text() + "sealing = 1\n")
    done = server.ronctl("config", "check", str(file), check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "unknown setting sealing" in done.stderr


def test_cache_warm(server: ServerProcess) -> None:
    token = server.mint(op=["create", "sign", "verify"])
    call(server, token, "keys", {"key_id": "warm", "alg": "Ed25519", "usage": "sign"})
    bodies: list[dict[str, object]] = []
    for number in range(250):
        body: dict[str, object] = {
            "key_id": "warm",
            "message": base64.b64encode(b"%d" % number).decode(),
        }
        bodies.append(body)
    signed = call(server, token, "sign", {"items": bodies}).json()["items"]
    for body, answer in zip(bodies, signed, strict=True):
        body["signature"] = answer["result"]["signature"]
    wrong = {**bodies[0], "message": "AAAA"}
    lines = [*map(json.dumps, [*bodies, wrong, {**wrong, "key_id": "missing"}]), "no json", ""]
    file = server.data_dir.parent / "hot.jsonl"
    file.write_text("\n".join(lines) + "\n")
    done = server.ronctl("cache", "warm", str(file))
    assert done.stdout == "valid 250, invalid 1, refused 2; 0 were in the cache\n"
    assert "line 252 is the first that is refused: not_found: " in done.stderr
    assert call(server, token, "verify", bodies[249]).json()["cache"] == "hit"
    assert call(server, token, "verify", wrong).json()["cache"] == "hit"
    again = server.ronctl("cache", "warm", str(file))
    assert again.stdout == "valid 250, invalid 1, refused 2; 251 were in the cache\n"


def test_cache_sweep(server: ServerProcess) -> None:
    server.ronctl("keys", "create", "sweep-1", "--alg", "Ed25519")
    token = server.mint(op=["sign", "verify"], key="sweep-*")
    signature = call(server, token, "sign", {"key_id": "sweep-1", "message": ""}).json()["signature"]
    body: dict[str, object] = {"key_id": "sweep-1", "message": "", "signature": signature}
    assert [call(server, token, "verify", body).json()["cache"] for _ in range(2)] == ["miss", "hit"]
    assert server.ronctl("cache", "sweep").stdout.startswith("dropped ")
    assert call(server, token, "verify", body).json()["cache"] == "miss"


def test_tail_shows_events(server: ServerProcess) -> None:
    server.ronctl("keys", "create", "tail-1", "--alg", "Ed25519")
    server.ronctl("keys", "rotate", "tail-1")
    shown = server.ronctl("tail", "--topic", "kms", "--since", "10m").stdout
    assert any("event=KeyRotated" in line and "key_id=tail-1" in line for line in shown.splitlines())
    first = json.loads(server.ronctl("tail", "--json").stdout.splitlines()[0])
    assert {"seq", "time", "event", "fields"} <= set(first)
    time.sleep(1.1)
    assert "tail-1" not in server.ronctl("tail", "--since", "1s").stdout


def test_admin_operations_are_audited(server: ServerProcess) -> None:
    token = server.mint(op=["sign"], key="audited-*", tenant="t3")
    token_id = server.ronctl("cap", "inspect", token).stdout.split()[2]
    ours = [record for record in audit_records(server) if "audited-*" in str(record.get("detail", ""))]
    assert [record["phase"] for record in ours] == ["intent", "outcome"]
    assert {(record["op"], record["token"], record["tenant"]) for record in ours} == {
        ("admin", f"uid:{os.geteuid()}", "t3")
    }
    assert token_id in str(ours[1]["detail"])
    assert (
        server.ronctl(
            "cap", "mint", "--tenant", "T", "--op", "sign", "--key", "*", "--ttl", "1h", check=False
        ).returncode
        == 1
    )
    assert audit_records(server)[-1]["code"] == "bad_request"


def test_audit_verifies_and_an_anchor_holds(server: ServerProcess) -> None:
    anchor = server.ronctl("audit", "head").stdout.strip()
    server.mint(op=["sign"])
    assert server.ronctl("audit", "verify", "--anchor", anchor).stdout.startswith("good: ")


def test_tampering_with_a_copy_is_found(server: ServerProcess, tmp_path: Path) -> None:
    server.mint(op=["sign"])
    lines = b"".join(
        path.read_bytes() for path in sorted((server.data_dir / "audit").glob("*.jsonl"))
    ).splitlines(True)
    copy = tmp_path / "audit-00000001.jsonl"
    copy.write_bytes(b"".join(lines))
    assert server.ronctl("audit", "verify", str(tmp_path)).returncode == 0
    copy.write_bytes(b"".join(lines[:1] + lines[2:]))
    done = server.ronctl("audit", "verify", str(tmp_path), check=False)
    assert done.returncode == 3
    assert "PROBLEM: audit-00000001.jsonl:2" in done.stderr


def test_audit_is_exported_while_the_server_writes_it(server: ServerProcess) -> None:
    server.mint(op=["sign"], tenant="exported")
    minted = [record for record in audit_records(server) if record.get("tenant") == "exported"]
    lines = server.ronctl("audit", "export", "--format", "ocsf", "--tenant", "exported").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["metadata"]["sequence"] for event in events] == [record["seq"] for record in minted]
    assert {event["class_uid"] for event in events} == {6003}
    cef = server.ronctl("audit", "export", "--format", "cef", "--tenant", "exported").stdout.splitlines()
    assert [f" externalId={record['seq']} " in line for record, line in zip(minted, cef, strict=True)] == [
        True,
        True,
    ]


def test_tokens_are_in_no_file_but_the_dev_one(server: ServerProcess) -> None:
    token = server.mint(op=["sign"], key="nowhere-*")
    call(server, token, "sign", {"key_id": "nowhere-1", "message": ""})
    call(server, token[:-3], "sign", {"key_id": "nowhere-1", "message": ""})
    needle = token[40:120].encode()
    for path in server.data_dir.rglob("*"):
        if path.is_file():
            assert needle not in path.read_bytes(), path
    assert needle.decode() not in server.output()


def test_socket_and_token_are_private(server: ServerProcess) -> None:
    for path in (server.data_dir / "admin.sock", server.data_dir / "capability" / "admin.token"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((server.data_dir / "capability").stat().st_mode) == 0o700


def test_no_server(tmp_path: Path, server: ServerProcess) -> None:
    done = server.ronctl("--data-dir", str(tmp_path), "status", check=False)
    assert done.returncode == 4
    assert done.stderr == f"error: no server runs on {tmp_path}; start it, or name another --data-dir\n"


def test_wrong_usage(server: ServerProcess) -> None:
    for arguments in (
        ["cap", "mint", "--tenant", "t"],
        ["cap", "mint", "--tenant", "t", "--op", "fly", "--key", "*", "--ttl", "1h"],
        ["cap", "mint", "--tenant", "t", "--op", "sign", "--key", "*", "--ttl", "soon"],
        ["keys", "describe", "../../v1"],
        ["nonsense"],
    ):
        assert server.ronctl(*arguments, check=False).returncode == 2
