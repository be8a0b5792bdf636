"""Vectors that lie beside the checkout: Wycheproof, NIST ACVP, the composite draft, X-Wing.

They are not part of the project; where they are absent, the tests that need them say that they skipped.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.known_answers.case import VerifyCase, WrapCase, akp, ec, okp, rsa

DIRECTORY = Path(__file__).resolve().parents[4] / "shared" / "vectors"
ABSENT = f"public test vectors not found at ../shared/vectors ({DIRECTORY.name}); this test is skipped"


def present() -> bool:
    """True if the vectors lie beside the checkout."""
    return DIRECTORY.is_dir()


def wycheproof(file: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(group, test) of each test of a Wycheproof file."""
    document = json.loads((DIRECTORY / "wycheproof" / file).read_text())
    for group in document["testGroups"]:
        for test in group["tests"]:
            yield group, test


def wycheproof_verify(file: str) -> Iterator[VerifyCase]:
    """The cases of a Wycheproof signature verification file. ``acceptable`` does not occur in them."""
    for group, test in wycheproof(file):
        yield VerifyCase(
            f"{file}:{test['tcId']} {test['comment']}",
            _public_key(group),
            bytes.fromhex(test["msg"]),
            bytes.fromhex(test["sig"]),
            valid={"valid": True, "invalid": False}[test["result"]],
            context=bytes.fromhex(test.get("ctx", "")),
            p1363=group["type"] == "EcdsaP1363Verify",
        )


def _public_key(group: dict[str, Any]) -> dict[str, object]:
    kind, key = group["type"], group["publicKey"]
    if kind == "EddsaVerify":
        return okp(bytes.fromhex(key["pk"]))
    if kind in ("EcdsaVerify", "EcdsaP1363Verify"):
        curve = {"secp256r1": "P-256", "secp384r1": "P-384"}[key["curve"]]
        return ec(curve, int(key["wx"], 16), int(key["wy"], 16))
    if kind == "RsassaPssVerify":
        return rsa(int(key["modulus"], 16), int(key["publicExponent"], 16))
    assert kind == "MlDsaVerify"
    size = {1312: 44, 1952: 65}.get(len(key) // 2, 44 if len(key) // 2 < 1600 else 65)
    return akp(f"ML-DSA-{size}", bytes.fromhex(key))


def wycheproof_aes_kwp() -> Iterator[WrapCase]:
    """The cases with 256-bit keys."""
    for group, test in wycheproof("aes_kwp_test.json"):
        if group["keySize"] == 256:
            valid = {"valid": True, "invalid": False}[test["result"]]
            yield WrapCase(
                f"aes_kwp_test.json:{test['tcId']}",
                bytes.fromhex(test["key"]),
                bytes.fromhex(test["msg"]) if valid else None,
                bytes.fromhex(test["ct"]),
            )


def acvp_mldsa_keygen() -> Iterator[tuple[str, bytes, bytes]]:
    """(algorithm, 32-byte seed, public key) of NIST's ML-DSA key generation vectors."""
    document = json.loads((DIRECTORY / "acvp" / "ML-DSA-keyGen-FIPS204.json").read_text())
    for group in document["testGroups"]:
        for test in group["tests"]:
            yield group["parameterSet"], bytes.fromhex(test["seed"]), bytes.fromhex(test["pk"])


def x_wing_keygen() -> Iterator[tuple[bytes, bytes]]:
    """(32-byte seed, 1216-byte public key) of the X-Wing draft."""
    for vector in json.loads((DIRECTORY / "xwing" / "test-vectors.json").read_text()):
        yield bytes.fromhex(vector["sk"]), bytes.fromhex(vector["pk"])


@dataclass(frozen=True)
class CompositeVector:
    """One algorithm of the composite draft's vectors; both signatures are over ``message``."""

    name: str
    public: bytes
    private: bytes
    pkcs8: bytes
    message: bytes
    signature: bytes
    context: bytes
    signature_with_context: bytes


def composite(name: str) -> CompositeVector:
    """The vector of ``name`` without its ``id-`` prefix.

    That of MLDSA87-ECDSA-P384-SHA512 is not in the selection beside the checkout and lies here.
    """
    beside = DIRECTORY / "composite" / "testvectors.json"
    here = Path(__file__).with_name("mldsa87_ecdsa_p384.json")
    file = here if name == "MLDSA87-ECDSA-P384-SHA512" else beside
    document = json.loads(file.read_text())
    test = next(test for test in document["tests"] if test["tcId"] == f"id-{name}")
    message, context = document["m"], document["ctx"]
    decode = base64.b64decode
    return CompositeVector(
        name,
        decode(test["pk"]),
        decode(test["sk"]),
        decode(test["sk_pkcs8"]),
        decode(message),
        decode(test["s"]),
        decode(context),
        decode(test["sWithContext"]),
    )
