"""Public vectors that lie beside the checkout: Wycheproof, NIST ACVP, the composite draft, X-Wing.

Where we differ from a vector's verdict the case is named with the reason. There is one kind: a case that
``invalid`` marks because of its key or context is a malformed request here, a 400 instead of a verdict.
"""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.e2e.known_answers import shared_vectors
from tests.e2e.known_answers.case import VerifyCase, akp, b64, b64url
from tests.e2e.support.aes_kwp_answers import aes_kwp_difference
from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.composite_reference import COMPOSITES
from tests.e2e.support.key_import import import_key
from tests.e2e.support.verdicts import check, verdicts

pytestmark = pytest.mark.skipif(not shared_vectors.present(), reason=shared_vectors.ABSENT)

COUNTS = {
    "ed25519_test.json": (88, 63),
    "ecdsa_secp256r1_sha256_test.json": (174, 310),
    "ecdsa_secp256r1_sha256_p1363_test.json": (173, 89),
    "ecdsa_secp384r1_sha384_test.json": (194, 310),
    "ecdsa_secp384r1_sha384_p1363_test.json": (193, 87),
    "rsa_pss_2048_sha256_mgf1_32_test.json": (63, 45),
    "rsa_pss_3072_sha256_mgf1_32_test.json": (63, 45),
    "mldsa_44_verify_test.json": (77, 103),
    "mldsa_65_verify_test.json": (79, 131),
}
MALFORMED = {
    "InvalidContext": "a context over 255 bytes is a malformed request (FIPS 204 section 5.2)",
    "IncorrectPublicKeyLength": "a JWK whose pub has another length is no ML-DSA key",
}


@pytest.mark.parametrize("file", COUNTS)
def test_wycheproof(api: ApiClient, file: str) -> None:
    refused = {
        f"{file}:{test['tcId']} {test['comment']}": MALFORMED[flag]
        for _, test in shared_vectors.wycheproof(file)
        for flag in test["flags"]
        if flag in MALFORMED
    }
    assert len(refused) == (9 if "mldsa" in file else 0)
    check(api, shared_vectors.wycheproof_verify(file), COUNTS[file], refused)


def test_wycheproof_seeds(api: ApiClient) -> None:
    """Each seed of the signing vectors gives, imported, their public key."""
    file = "mldsa_65_sign_seed_test.json"
    groups = {group["privateSeed"]: group["publicKey"] for group, _ in shared_vectors.wycheproof(file)}
    seeds = {seed: public for seed, public in groups.items() if len(seed) == 64}
    assert (len(groups), len(seeds)) == (40, 37)
    for number, (seed, public) in enumerate(seeds.items()):
        jwk = import_mldsa(api, "ML-DSA-65", bytes.fromhex(seed), f"wycheproof-seed-{number}")
        assert jwk.items() >= akp("ML-DSA-65", bytes.fromhex(public)).items()


def test_wycheproof_signatures_with_mu(api: ApiClient) -> None:
    """The signatures of the signing vectors verify by message and by mu (FIPS 204 algorithm 7, line 6)."""
    file = "mldsa_65_sign_seed_test.json"
    items: list[dict[str, object]] = []
    for group, test in shared_vectors.wycheproof(file):
        if test["result"] != "valid":
            continue
        item: dict[str, object] = {
            "public_key": akp("ML-DSA-65", bytes.fromhex(group["publicKey"])),
            "signature": b64(bytes.fromhex(test["sig"])),
        }
        items.append(item | {"mu": b64(bytes.fromhex(test["mu"]))})
        if "msg" in test:
            message = {"message": b64(bytes.fromhex(test["msg"]))}
            items.append(item | message | {"context": b64(bytes.fromhex(test.get("ctx", "")))})
    assert len(items) == 101 + 84
    answers = api.batch("/v1/kms/verify", items)
    assert all(answer["status"] == 200 and answer["result"]["valid"] for answer in answers)


def test_wycheproof_aes_kwp(api: ApiClient) -> None:
    cases = list(shared_vectors.wycheproof_aes_kwp())
    refused = [case for case in cases if case.plaintext is None]
    assert (len(cases), len(refused)) == (94, 69)
    keys = {key: f"wycheproof-kwp-{number}" for number, key in enumerate({case.key: None for case in cases})}
    assert len(keys) == 13
    wrong = [aes_kwp_difference(api, keys[case.key], case) for case in cases]
    assert [name for name in wrong if name] == []


def test_acvp_mldsa_key_generation(api: ApiClient) -> None:
    vectors = list(shared_vectors.acvp_mldsa_keygen())
    assert len(vectors) == 75
    for number, (alg, seed, public) in enumerate(vectors):
        jwk = import_mldsa(api, alg, seed, f"acvp-{number}")
        assert jwk.items() >= akp(alg, public).items()


def test_x_wing_key_generation(api: ApiClient) -> None:
    vectors = list(shared_vectors.x_wing_keygen())
    assert len(vectors) == 3
    for number, (seed, public) in enumerate(vectors):
        assert import_key(api, "X-Wing", seed, key_id=f"x-wing-draft-{number}").status == 201
        assert api.get(f"/v1/kms/keys/x-wing-draft-{number}/public").body["pub"] == b64url(public)


def composite_cases(alg: str) -> list[VerifyCase]:
    """The draft's two signatures, and mutations of each part that must not verify."""
    vector = shared_vectors.composite(alg)
    jwk, message = akp(alg, vector.public), vector.message
    plain, bound, context = vector.signature, vector.signature_with_context, vector.context
    split = COMPOSITES[alg].mldsa_signature

    def case(name: str, signature: bytes, context: bytes = b"", *, valid: bool = False) -> VerifyCase:
        return VerifyCase(name, jwk, message, signature, valid=valid, context=context)

    return [
        case("without context", plain, valid=True),
        case("with context", bound, context, valid=True),
        case("context added", plain, context),
        case("context left out", bound),
        case("context cut", bound, context[:-1]),
        case("ML-DSA half changed", bytes([plain[0] ^ 1]) + plain[1:]),
        case("classical half changed", plain[:-1] + bytes([plain[-1] ^ 1])),
        case("start of the classical half changed", flipped(plain, split)),
        case("halves of two signatures", plain[:split] + bound[split:]),
        case("ML-DSA half alone", plain[:split]),
        case("classical half alone", plain[split:]),
        case("one byte more", plain + b"\0"),
        case("one byte less", plain[:-1]),
        case("empty", b""),
        VerifyCase("another message", jwk, message + b"!", plain, valid=False),
    ]


def flipped(data: bytes, index: int) -> bytes:
    return data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]


@pytest.mark.parametrize("alg", COMPOSITES)
def test_composite(api: ApiClient, alg: str) -> None:
    check(api, composite_cases(alg), (2, 13))


@pytest.mark.parametrize("alg", COMPOSITES)
def test_every_byte_range_of_a_composite_counts(api: ApiClient, alg: str) -> None:
    """A flip anywhere, 200 places over both halves, is invalid."""
    vector = shared_vectors.composite(alg)
    signature = vector.signature
    step = len(signature) // 150
    places = [*range(0, len(signature), step), *range(len(signature) - 50, len(signature))]
    jwk = akp(alg, vector.public)
    cases = [
        VerifyCase(str(place), jwk, vector.message, flipped(signature, place), valid=False)
        for place in dict.fromkeys(places)
    ]
    assert len(cases) >= 190
    assert set(verdicts(api, cases).values()) == {False}


@pytest.mark.parametrize("alg", COMPOSITES)
def test_composite_verdicts_are_those_of_an_independent_composition(api: ApiClient, alg: str) -> None:
    public = shared_vectors.composite(alg).public
    got = verdicts(api, composite_cases(alg))
    for case in composite_cases(alg):
        both = COMPOSITES[alg].verify(public, case.message, case.signature, case.context)
        assert got[case.name] is all(both), case.name


@pytest.mark.parametrize("alg", COMPOSITES)
def test_composite_private_key(api: ApiClient, alg: str) -> None:
    """The draft's PKCS#8 and its bare private key give its public key, and sign for it."""
    vector = shared_vectors.composite(alg)
    for name, material in (("pkcs8", vector.pkcs8), ("bare", vector.private)):
        key_id = f"{alg.lower()}-{name}"
        assert import_key(api, alg, material, key_id=key_id).status == 201
        assert api.get(f"/v1/kms/keys/{key_id}/public").body["pub"] == b64url(vector.public)
        signed = api.ok("/v1/kms/sign", {"key_id": key_id, "message": b64(vector.message)})
        signature = base64.b64decode(signed["signature"])
        assert COMPOSITES[alg].verify(vector.public, vector.message, signature) == (True, True)


def import_mldsa(api: ApiClient, alg: str, seed: bytes, key_id: str) -> dict[str, object]:
    """Imports the seed and gives the exported JWK."""
    kinds: dict[str, Any] = {
        "ML-DSA-44": mldsa.MLDSA44PrivateKey,
        "ML-DSA-65": mldsa.MLDSA65PrivateKey,
        "ML-DSA-87": mldsa.MLDSA87PrivateKey,
    }
    pkcs8 = kinds[alg].from_seed_bytes(seed).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    answer = import_key(api, alg, pkcs8, key_id=key_id)
    assert answer.status == 201, answer.body
    jwk: dict[str, object] = api.get(f"/v1/kms/keys/{key_id}/public").body
    return jwk
