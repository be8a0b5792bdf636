"""After 1,000 signatures with an imported seed its bytes lie nowhere but in locked memory."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.import_wrapping import RSA_OAEP_AES_KWP, import_body, rsa_oaep_aes_kwp
from tests.e2e.support.process_memory import encodings, readable, scan
from tests.e2e.support.process_tree import descendants
from tests.server_process import ServerProcess

SIGNATURES = 1000
CONNECTIONS = 20
MESSAGE = b"the same thousand times"
MOST_LOCKED = 32 << 20
"""Bytes of a process. Were everything locked, the scan would prove nothing."""


def _needs_ptrace(pid: int) -> None:
    if not readable(pid):
        pytest.skip("reading another process's memory needs root or CAP_SYS_PTRACE")


def _ed25519_secrets(seed: bytes) -> dict[str, bytes]:
    """The seed and what RFC 8032 section 5.1.5 derives from it."""
    expanded = hashlib.sha512(seed).digest()
    scalar = bytearray(expanded[:32])
    scalar[0] &= 248
    scalar[31] = scalar[31] & 127 | 64
    return {
        **encodings("Ed25519 seed", seed),
        "Ed25519 scalar": bytes(scalar),
        "Ed25519 prefix": expanded[32:],
    }


def _ml_dsa_65_secrets(seed: bytes, public: bytes) -> dict[str, bytes]:
    """The seed and what FIPS 204 algorithm 6 derives from it: rho', K, and rho || K, with which an expanded
    key begins."""
    k, l = 6, 5  # noqa: E741  # the standard's names
    derived = hashlib.shake_256(seed + bytes([k, l])).digest(128)
    rho, rho_prime, key = derived[:32], derived[32:96], derived[96:]
    assert rho == public[:32]
    return {
        **encodings("ML-DSA-65 seed", seed),
        "ML-DSA-65 rho'": rho_prime,
        "ML-DSA-65 K": key,
        "ML-DSA-65 expanded key": rho + key,
    }


def _import(
    api: ApiClient, alg: str, key_id: str, material: bytes, aes_key: bytes, usage: str = "sign"
) -> None:
    params = api.ok("/v1/kms/keys/import/params", {"mechanism": RSA_OAEP_AES_KWP})
    wrapped = rsa_oaep_aes_kwp(base64.b64decode(params["public_key"]), material, aes_key)
    api.ok("/v1/kms/keys/import", import_body(params, wrapped, alg=alg, usage=usage, key_id=key_id))


def _wrap_and_unwrap(api: ApiClient, key_id: str) -> None:
    plaintext = base64.b64encode(MESSAGE).decode()
    for _ in range(20):
        wrapped = api.ok("/v1/kms/wrap", {"key_id": key_id, "plaintext": plaintext})["ciphertext"]
        opened = api.ok("/v1/kms/unwrap", {"key_id": key_id, "ciphertext": wrapped})
        assert opened["plaintext"] == plaintext


def _sign_often(url: str, token: str, body: dict[str, str]) -> str:
    """``SIGNATURES`` requests over many connections, so that each worker gets some; the last signature."""

    def share(_number: int) -> str:
        client = ApiClient(url, token)
        signature = ""
        for _ in range(SIGNATURES // CONNECTIONS):
            signature = client.ok("/v1/kms/sign", body)["signature"]
        client.close()
        return signature

    with ThreadPoolExecutor(CONNECTIONS // 2) as pool:
        return list(pool.map(share, range(CONNECTIONS)))[-1]


@pytest.mark.timeout(180)
def test_private_keys_lie_in_locked_memory_only(tmp_path: Path) -> None:
    seal = os.urandom(48)
    (tmp_path / "seal.key").write_bytes(seal)
    (tmp_path / "seal.key").chmod(0o600)
    ed25519_seed, ml_dsa_seed, aes_key = (os.urandom(32) for _ in range(3))
    wrapping = {alg: os.urandom(32) for alg in ("AES-256-GCM", "AES-KWP", "X-Wing")}
    ed25519 = Ed25519PrivateKey.from_private_bytes(ed25519_seed)
    ml_dsa = MLDSA65PrivateKey.from_seed_bytes(ml_dsa_seed)
    public = ml_dsa.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    needles = {
        **_ed25519_secrets(ed25519_seed),
        **_ml_dsa_65_secrets(ml_dsa_seed, public),
        **encodings("import key", aes_key),
        **encodings("seal key file", seal),
        **wrapping,
    }
    der = (Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    env = {"KMS_SEAL": "keyfile", "KMS_SEAL_KEYFILE": str(tmp_path / "seal.key"), "KMS_WORKERS": "2"}
    with ServerProcess(tmp_path / "data", env=env, args=()) as server:
        _needs_ptrace(server.pid)
        token = server.mint(op=["import", "sign", "wrap", "unwrap"])
        api = ApiClient(server.api_url, token)
        _import(api, "Ed25519", "known-ed", ed25519.private_bytes(*der), aes_key)
        _import(api, "ML-DSA-65", "known-ml", ml_dsa.private_bytes(*der), aes_key)
        for alg, material in wrapping.items():
            _import(api, alg, f"known-{alg.lower()}", material, aes_key, usage="wrap")
            _wrap_and_unwrap(api, f"known-{alg.lower()}")
        message = base64.b64encode(MESSAGE).decode()
        last: dict[str, str] = {}
        for key_id in ("known-ed", "known-ml"):
            last[key_id] = _sign_often(server.api_url, token, {"key_id": key_id, "message": message})
        assert base64.b64decode(last["known-ed"]) == ed25519.sign(MESSAGE)
        ml_dsa.public_key().verify(base64.b64decode(last["known-ml"]), MESSAGE)
        api.close()
        pids = descendants(server.pid)
        assert len(pids) == 4, "arbiter, admin process, two workers"
        scans = {pid: scan(pid, needles) for pid in pids}
        known = {"public key": ed25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)}
        holders = [pid for pid in pids if scan(pid, known).findings]
    assert [str(finding) for found in scans.values() for finding in found.findings] == []
    assert len(holders) >= 2, "the scan must see what the workers do hold in the clear"
    for pid, found in scans.items():
        assert found.searched > 8 << 20, (pid, found)
        assert 0 < found.locked < MOST_LOCKED, (pid, found)


@pytest.mark.timeout(180)
def test_keys_that_are_not_locked_are_wiped_when_they_are_disabled(tmp_path: Path) -> None:
    """ES256 and PS256 live in the heap of their library while they are in use, and only then."""
    ec_key = ec.generate_private_key(ec.SECP256R1())
    rsa_key = rsa.generate_private_key(65537, 2048)
    numbers = {
        "d of ES256": ec_key.private_numbers().private_value.to_bytes(32, "big"),
        "p of PS256": rsa_key.private_numbers().p.to_bytes(128, "big"),
        "q of PS256": rsa_key.private_numbers().q.to_bytes(128, "big"),
        "d of PS256": rsa_key.private_numbers().d.to_bytes(256, "big"),
    }
    needles = numbers | {f"{name}, limbs": number[::-1] for name, number in numbers.items()}
    der = (Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with ServerProcess(tmp_path / "data", env={"KMS_WORKERS": "2"}) as server:
        _needs_ptrace(server.pid)
        api = ApiClient(server.api_url, server.token)
        _import(api, "ES256", "known-ec", ec_key.private_bytes(*der), os.urandom(32))
        _import(api, "PS256", "known-rsa", rsa_key.private_bytes(*der), os.urandom(32))
        message = base64.b64encode(MESSAGE).decode()
        for key_id in ("known-ec", "known-rsa"):
            _sign_often(server.api_url, server.token, {"key_id": key_id, "message": message})
            api.ok(f"/v1/kms/keys/{key_id}/disable")
        # A worker forgets a key when its next request shows it the change.
        api.ok("/v1/kms/keys", {"alg": "Ed25519", "usage": "sign", "key_id": "another"})
        _sign_often(server.api_url, server.token, {"key_id": "another", "message": message})
        api.close()
        findings = [str(found) for pid in descendants(server.pid) for found in scan(pid, needles).findings]
    assert findings == []


MARKERS = {
    "heap": "kept = bytes.fromhex(line)",
    "shared mapping": "import mmap; kept = mmap.mmap(-1, 8 << 20); kept[999:1031] = bytes.fromhex(line)",
    "across two reads": "import mmap; kept = mmap.mmap(-1, 8 << 20); at = (4 << 20) - 16;"
    "kept[at : at + 32] = bytes.fromhex(line)",
    "hex text": "kept = line",
    "base64 in a longer text": "import base64; kept = base64.b64encode(b'xy' + bytes.fromhex(line) + b'z')",
}


@pytest.mark.parametrize("place", MARKERS)
def test_the_scanner_finds_what_is_there(place: str) -> None:
    marker = os.urandom(32)
    planting = f"line = sys.stdin.readline(); {MARKERS[place]}"
    source = f"import sys; {planting}; print('planted', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(marker.hex() + "\n")
        child.stdin.flush()
        assert child.stdout.readline() == "planted\n"
        _needs_ptrace(child.pid)
        found = scan(child.pid, encodings("marker", marker)).findings
        absent = scan(child.pid, encodings("another", os.urandom(32))).findings
    assert found
    assert absent == []
