"""Every case of the PyPI package ``cryptography-vectors`` whose parameters ron-kms supports.

The counts are asserted, so that a case that is not read is a failure and not silence; ``USED`` and
``NOT_USED`` together are all files of the package about our algorithms.
"""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from tests.e2e.known_answers import pyca
from tests.e2e.known_answers.case import WrapCase, akp, b64, b64url
from tests.e2e.support.aes_kwp_answers import aes_kwp_difference
from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.import_wrapping import RSA_OAEP_AES_KWP
from tests.e2e.support.key_import import HPKE, import_key
from tests.e2e.support.verdicts import check

USED = {
    "asymmetric/ECDSA/FIPS_186-3/SigGen.txt",
    "asymmetric/ECDSA/FIPS_186-3/SigVer.rsp",
    "asymmetric/ECDSA/RFC6979/evppkey_ecdsa_rfc6979.txt",
    "asymmetric/Ed25519/ed25519-pkcs8.der",
    "asymmetric/Ed25519/sign.input",
    "asymmetric/MLDSA/kat_MLDSA_44_det_pure.rsp",
    "asymmetric/MLDSA/kat_MLDSA_65_det_pure.rsp",
    "asymmetric/MLDSA/kat_MLDSA_87_det_pure.rsp",
    "asymmetric/MLDSA/mldsa44_priv.der",
    "asymmetric/MLDSA/mldsa65_noseed_priv.der",
    "asymmetric/RSA/FIPS_186-2/SigGenPSS_186-2.rsp",
    "asymmetric/RSA/FIPS_186-2/SigGenPSS_186-3.rsp",
    "asymmetric/RSA/FIPS_186-2/SigVerPSS_186-3.rsp",
    "HPKE/hpke-pq-test-vectors.json",
    "keywrap/kwtestvectors/KWP_AD_256.txt",
    "keywrap/kwtestvectors/KWP_AE_256.txt",
}
_RSA = "asymmetric/RSA/"
NOT_USED = {
    "asymmetric/ECDSA/FIPS_186-2/": "SHA-1 only",
    "asymmetric/ECDSA/FIPS_186-3/KeyPair.rsp": "no verdict",
    "asymmetric/ECDSA/FIPS_186-3/PKV.rsp": "no verdict",
    "asymmetric/ECDSA/FIPS_186-3/Readme.txt": "prose",
    "asymmetric/ECDSA/FIPS_186-3/SigGen.rsp": "the inputs of SigGen.txt again",
    "asymmetric/ECDSA/SECP256K1/": "another curve",
    "asymmetric/Ed25519/ed25519-pkcs8-enc": "encrypted containers",
    "asymmetric/Ed25519/ed25519-pkcs8.pem": "the key of ed25519-pkcs8.der again",
    "asymmetric/Ed25519/ed25519-pub": "public key containers; the API takes JWK",
    "asymmetric/MLDSA/mldsa44_pub.der": "public key container",
    f"{_RSA}FIPS_186-2/KeyGenRSA": "no PSS",
    f"{_RSA}FIPS_186-2/Readme.txt": "prose",
    f"{_RSA}FIPS_186-2/SigGen15": "PKCS #1 v1.5",
    f"{_RSA}FIPS_186-2/SigGenPSS_186-2.txt": "SigGenPSS_186-2.rsp again",
    f"{_RSA}FIPS_186-2/SigGenRSA": "X9.31",
    f"{_RSA}FIPS_186-2/SigVer15": "PKCS #1 v1.5",
    f"{_RSA}FIPS_186-2/SigVerRSA": "X9.31",
    f"{_RSA}SigVer15EMTest.txt": "PKCS #1 v1.5",
    f"{_RSA}oaep": "encryption",
    f"{_RSA}pkcs": "PKCS #1 v1.5, or PSS and OAEP with SHA-1",
    "HPKE/test-vectors.json": "no X-Wing",
    "keywrap/kwp_botan.txt": "no 256-bit key",
    "keywrap/kwtestvectors/KW_": "RFC 3394 without padding",
    "keywrap/kwtestvectors/TKW_": "Triple DES",
    "keywrap/kwtestvectors/KWP_AD_1": "128- and 192-bit keys",
    "keywrap/kwtestvectors/KWP_AE_1": "128- and 192-bit keys",
    "keywrap/kwtestvectors/KWP_AD_256_inv.txt": "inverse cipher function",
    "keywrap/kwtestvectors/KWP_AE_256_inv.txt": "inverse cipher function",
    "keywrap/kwtestvectors/Readme.txt": "prose",
}


def test_every_file_about_our_algorithms_is_used_or_named_with_a_reason() -> None:
    root = Path(cryptography_vectors.__file__).parent
    folders = (
        "asymmetric/Ed25519",
        "asymmetric/ECDSA",
        "asymmetric/RSA",
        "asymmetric/MLDSA",
        "keywrap",
        "HPKE",
    )
    files = {str(file.relative_to(root)) for folder in folders for file in (root / folder).rglob("*.*")}
    assert files >= USED
    unexplained = {name for name in files - USED if not name.startswith(tuple(NOT_USED))}
    assert unexplained == set()
    assert cryptography_vectors.__version__ == "50.0.2"


def test_ed25519(api: ApiClient) -> None:
    check(api, pyca.ed25519(), (1024, 0))


def test_ed25519_with_one_bit_flipped(api: ApiClient) -> None:
    """The bit wanders through the signature, so that R, S and each byte of them are hit."""
    flipped = []
    for number, case in enumerate(pyca.ed25519()):
        signature = bytearray(case.signature)
        signature[number // 8 % 64] ^= 1 << number % 8
        flipped.append(replace(case, signature=bytes(signature), valid=False))
    check(api, flipped, (0, 1024))


@pytest.mark.parametrize("p1363", [False, True], ids=["der", "p1363"])
@pytest.mark.parametrize("curve", ["P-256", "P-384"])
def test_ecdsa(api: ApiClient, curve: str, p1363: bool) -> None:
    check(api, pyca.ecdsa(curve, p1363=p1363), (18, 12))


@pytest.mark.parametrize("curve", ["P-256", "P-384"])
def test_ecdsa_prehashed(api: ApiClient, curve: str) -> None:
    """A digest instead of the message gives the same verdicts."""
    name = {"P-256": "sha256", "P-384": "sha384"}[curve]
    cases = [
        replace(case, message=hashlib.new(name, case.message).digest(), prehashed=name)
        for case in pyca.ecdsa(curve)
    ]
    check(api, cases, (18, 12))


@pytest.mark.parametrize("curve", ["P-256", "P-384"])
def test_ecdsa_rfc6979(api: ApiClient, curve: str) -> None:
    check(api, pyca.ecdsa_rfc6979(curve), (2, 2))


def test_rsa_pss_with_another_salt_length(api: ApiClient) -> None:
    """The package has PSS with SHA-256 only with salts of 0, 10 and 20 bytes; PS256 asks for 32."""
    cases = list(pyca.pss_other_salt())
    small = {case.name: "FIPS 186-5 asks for e above 2^16" for case in cases if len(str(case.jwk["e"])) < 4}
    assert len(small) == 67
    check(api, cases, (0, 114), small)


@pytest.mark.parametrize("alg", ["ML-DSA-44", "ML-DSA-65", "ML-DSA-87"])
def test_mldsa(api: ApiClient, alg: str) -> None:
    check(api, pyca.mldsa(alg), (100, 0))


@pytest.mark.parametrize("alg", ["ML-DSA-44", "ML-DSA-65", "ML-DSA-87"])
def test_mldsa_without_its_context(api: ApiClient, alg: str) -> None:
    with_context = [case for case in pyca.mldsa(alg) if case.context]
    check(api, [replace(case, context=b"", valid=False) for case in with_context], (0, len(with_context)))
    assert len(with_context) == 100


# --- known answers that need a private key: imported, wrapped to a one-time key --------------------

MLDSA_KEYS: dict[str, Any] = {
    "ML-DSA-44": mldsa.MLDSA44PrivateKey,
    "ML-DSA-65": mldsa.MLDSA65PrivateKey,
    "ML-DSA-87": mldsa.MLDSA87PrivateKey,
}


@pytest.mark.parametrize("alg", MLDSA_KEYS)
def test_mldsa_key_generation(api: ApiClient, alg: str) -> None:
    """Every fifth seed of the file: the exported public key is the one of the vectors."""
    seeds = list(pyca.mldsa_seeds(alg))
    assert len(seeds) == 100
    for number, (seed, public) in enumerate(seeds[::5]):
        private = MLDSA_KEYS[alg].from_seed_bytes(seed)
        pkcs8 = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        key_id = f"kat-{alg.lower()}-{number}"
        answer = import_key(api, alg, pkcs8, key_id=key_id)
        assert answer.status == 201, answer.body
        assert public_jwk(api, key_id).items() >= akp(alg, public).items()


def test_x_wing_key_generation(api: ApiClient) -> None:
    seeds = list(pyca.x_wing_seeds())
    assert len(seeds) == 2
    for number, (seed, public) in enumerate(seeds):
        answer = import_key(api, "X-Wing", seed, key_id=f"kat-x-wing-{number}")
        assert answer.status == 201, answer.body
        assert public_jwk(api, f"kat-x-wing-{number}")["pub"] == b64url(public)


@pytest.mark.parametrize("number", [0, 1, 511, 1023])
def test_ed25519_signatures(api: ApiClient, number: int) -> None:
    """Ed25519 is deterministic: the imported seed gives the signature of the vectors."""
    seed, case = pyca.ed25519_seed(number), list(pyca.ed25519())[number]
    private = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    pkcs8 = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    answer = import_key(api, "Ed25519", pkcs8, key_id=f"kat-ed25519-{number}", mechanism=RSA_OAEP_AES_KWP)
    assert answer.status == 201, answer.body
    signed = api.ok("/v1/kms/sign", {"key_id": f"kat-ed25519-{number}", "message": b64(case.message)})
    assert signed["signature"] == b64(case.signature)


@pytest.mark.parametrize("mechanism", [RSA_OAEP_AES_KWP, HPKE])
@pytest.mark.parametrize("alg", ["Ed25519", "ML-DSA-44", "ES256"])
def test_pkcs8_containers(api: ApiClient, alg: str, mechanism: str) -> None:
    """What signs after the import is the key in the container."""
    container = dict(pyca.pkcs8_keys())[alg]
    key_id = f"kat-pkcs8-{alg}-{mechanism}".lower()
    answer = import_key(api, alg, container, key_id=key_id, mechanism=mechanism)
    assert answer.status == 201, answer.body
    answer = api.get(f"/v1/kms/keys/{key_id}/public", accept="application/x-pem-file")
    public = load_der_private_key(container, None).public_key()
    assert answer.body.encode() == public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_mldsa_without_a_seed_cannot_be_imported(api: ApiClient) -> None:
    answer = import_key(api, "ML-DSA-65", pyca.mldsa_expanded_only(), key_id="kat-no-seed")
    assert (answer.status, answer.body["code"]) == (400, "bad_request")
    assert api.get("/v1/kms/keys/kat-no-seed").status == 404


def test_aes_kwp(api: ApiClient) -> None:
    """NIST SP 800-38F: wrap gives the ciphertext of the vectors, unwrap its plaintext or a 400."""
    cases = list(pyca.aes_kwp())
    refused = [case for case in cases if case.plaintext is None]
    assert (len(cases), len(refused)) == (1000, 100)
    with ThreadPoolExecutor(4) as pool:
        wrong = pool.map(lambda case: aes_kwp_difference(api, _key_id(case), case), cases)
    assert [name for name in wrong if name] == []


def _key_id(case: WrapCase) -> str:
    return re.sub("[^a-z0-9]+", "-", f"kat-{case.name}".lower())


def public_jwk(api: ApiClient, key_id: str) -> dict[str, object]:
    answer = api.get(f"/v1/kms/keys/{key_id}/public")
    assert answer.status == 200
    jwk: dict[str, object] = answer.body
    return jwk
