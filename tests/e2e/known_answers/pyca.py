"""Cases of the PyPI package ``cryptography-vectors`` whose parameters ron-kms supports."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography_vectors import open_vector_file

from tests.e2e.known_answers import nist
from tests.e2e.known_answers.case import VerifyCase, WrapCase, akp, dss_der, ec, okp, rsa

CURVES = {"P-256": "SHA-256", "P-384": "SHA-384"}
PSS_FILES = ("SigGenPSS_186-2.rsp", "SigGenPSS_186-3.rsp", "SigVerPSS_186-3.rsp")


def read(path: str) -> str:
    """A text file of the package."""
    with open_vector_file(path, "rb") as file:
        text: str = file.read().decode()
    return text


def ed25519() -> Iterator[VerifyCase]:
    """The 1,024 signatures of the Ed25519 paper: ``seed pk:pk:message:signature message:``."""
    for number, line in enumerate(read("asymmetric/Ed25519/sign.input").splitlines(), start=1):
        _, public, message, signed, _ = line.split(":")
        signature = bytes.fromhex(signed)[:64]
        yield VerifyCase(
            f"sign.input:{number}", okp(bytes.fromhex(public)), bytes.fromhex(message), signature, valid=True
        )


def ed25519_seed(number: int) -> bytes:
    """The 32-byte seed of case ``number``, from 0."""
    return bytes.fromhex(read("asymmetric/Ed25519/sign.input").splitlines()[number][:64])


def ecdsa(curve: str, *, p1363: bool = False) -> Iterator[VerifyCase]:
    """FIPS 186-3 SigVer (verdicts as given) and SigGen (all verify) with the curve's own hash."""
    size = {"P-256": 32, "P-384": 48}[curve]
    for name in ("SigVer.rsp", "SigGen.txt"):
        for number, (section, block) in enumerate(nist.blocks(read(f"asymmetric/ECDSA/FIPS_186-3/{name}"))):
            if section != f"{curve},{CURVES[curve]}":
                continue
            r, s = int(block["R"], 16), int(block["S"], 16)
            yield VerifyCase(
                f"{name}:{number}",
                ec(curve, int(block["Qx"], 16), int(block["Qy"], 16)),
                bytes.fromhex(block["Msg"]),
                r.to_bytes(size, "big") + s.to_bytes(size, "big") if p1363 else dss_der(r, s),
                valid=block.get("Result", "P").startswith("P"),
                p1363=p1363,
            )


def ecdsa_rfc6979(curve: str) -> Iterator[VerifyCase]:
    """RFC 6979 appendix A.2 in OpenSSL's form, with its mutated signatures."""
    text = read("asymmetric/ECDSA/RFC6979/evppkey_ecdsa_rfc6979.txt")
    pem = text.split(f"PublicKey={curve}_PUB\n", 1)[1].split("\n\n", 1)[0]
    key = load_pem_public_key(pem.encode())
    assert isinstance(key, EllipticCurvePublicKey)
    numbers = key.public_numbers()
    for number, block in enumerate(text.split("\n\n")):
        values = dict(line.split(" = ", 1) for line in block.splitlines() if " = " in line)
        wanted = CURVES[curve].replace("-", "")
        if values.get("DigestVerify") != wanted or values.get("Key") != f"{curve}_PUB":
            continue
        yield VerifyCase(
            f"rfc6979:{number}",
            ec(curve, numbers.x, numbers.y),
            values["Input"].strip('"').encode(),
            bytes.fromhex(values["Output"]),
            valid="Result" not in values,
        )


def pss_other_salt() -> Iterator[VerifyCase]:
    """RSA-PSS with SHA-256 but salts of 0, 10 or 20 bytes: PS256 (RFC 7518 section 3.5) refuses them."""
    for name in PSS_FILES:
        modulus = exponent = 0
        for number, (_, block) in enumerate(nist.blocks(read(f"asymmetric/RSA/FIPS_186-2/{name}"))):
            modulus = int(block["n"], 16) if "n" in block else modulus
            exponent = int(block["e"], 16) if "e" in block else exponent
            if block.get("SHAAlg") != "SHA256" or modulus.bit_length() < 2048:
                continue
            yield VerifyCase(
                f"{name}:{number}",
                rsa(modulus, exponent),
                bytes.fromhex(block["Msg"]),
                bytes.fromhex(block["S"]),
                valid=False,
            )


def mldsa(alg: str) -> Iterator[VerifyCase]:
    """Pure ML-DSA with context: the signed message is signature || message."""
    text = read(f"asymmetric/MLDSA/kat_{alg.replace('ML-DSA-', 'MLDSA_')}_det_pure.rsp")
    for block in _mldsa_blocks(text):
        message = bytes.fromhex(block["msg"])
        signed = bytes.fromhex(block["sm"])
        assert signed.endswith(message)
        yield VerifyCase(
            f"{alg}:{block['count']}",
            akp(alg, bytes.fromhex(block["pk"])),
            message,
            signed[: len(signed) - len(message)],
            valid=True,
            context=bytes.fromhex(block["ctx"]),
        )


def mldsa_seeds(alg: str) -> Iterator[tuple[bytes, bytes]]:
    """(32-byte seed, public key) of the same files."""
    text = read(f"asymmetric/MLDSA/kat_{alg.replace('ML-DSA-', 'MLDSA_')}_det_pure.rsp")
    for block in _mldsa_blocks(text):
        yield bytes.fromhex(block["xi"]), bytes.fromhex(block["pk"])


def _mldsa_blocks(text: str) -> Iterator[dict[str, str]]:
    return (block for _, block in nist.blocks(text))


def aes_kwp() -> Iterator[WrapCase]:
    """AES-256 KWP: NIST SP 800-38F authenticated encryption and decryption, each with its own key."""
    for name in ("KWP_AE_256.txt", "KWP_AD_256.txt"):
        for section, block in nist.blocks(read(f"keywrap/kwtestvectors/{name}")):
            yield WrapCase(
                f"{name}:{section}:{block['COUNT']}",
                bytes.fromhex(block["K"]),
                bytes.fromhex(block["P"]) if "P" in block else None,
                bytes.fromhex(block["C"]),
            )


def x_wing_seeds() -> Iterator[tuple[bytes, bytes]]:
    """(32-byte seed, public key) of the HPKE vectors whose KEM is X-Wing (0x647a)."""
    for vector in json.loads(read("HPKE/hpke-pq-test-vectors.json")):
        if vector["kem_id"] == 0x647A:
            yield bytes.fromhex(vector["skRm"]), bytes.fromhex(vector["pkRm"])


def pkcs8_keys() -> Iterator[tuple[str, bytes]]:
    """(algorithm, PKCS#8 DER) of unencrypted private keys that can be imported."""
    with open_vector_file("asymmetric/Ed25519/ed25519-pkcs8.der", "rb") as file:
        yield "Ed25519", file.read()
    with open_vector_file("asymmetric/MLDSA/mldsa44_priv.der", "rb") as file:
        yield "ML-DSA-44", file.read()
    pem = read("asymmetric/PKCS8/ec_private_key.pem")
    yield "ES256", base64.b64decode("".join(pem.splitlines()[1:-1]))


def mldsa_expanded_only() -> bytes:
    """PKCS#8 DER of an ML-DSA-65 key that holds the expanded key and no seed."""
    with open_vector_file("asymmetric/MLDSA/mldsa65_noseed_priv.der", "rb") as file:
        data: bytes = file.read()
    return data
