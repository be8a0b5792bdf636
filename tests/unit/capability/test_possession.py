"""Proof that the bearer of a token holds the key of a client certificate."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from ronkms.capability.possession import MAX_VALID_SECONDS, PREFIX, Presented, presented, prove, token_of
from ronkms.errors import BadRequest, Denied

NOW = 1_800_000_000
STATEMENT = b'{"policy.except":{"tenant":"acme"}}'
TOKEN = "EroBCk8KBmZvbw=="


class Holder:
    """A certificate that is valid for two days around NOW, and its key, as PEM."""

    def __init__(self, key: Any, *, begins: int = NOW - 86400) -> None:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "admin")])
        begin = datetime.fromtimestamp(begins, UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(days=2))
            .sign(key, SHA256() if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) else None)
        )
        self.certificate = made.public_bytes(Encoding.PEM)
        self.fingerprint = hashlib.sha256(made.public_bytes(Encoding.DER)).hexdigest()
        self.key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def prove(self, statement: bytes = STATEMENT, until: int = NOW + 60, token: str = TOKEN) -> str:
        return prove(token, statement=statement, until=until, certificate=self.certificate, key=self.key)


HOLDER = Holder(ed25519.Ed25519PrivateKey.generate())


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
    ],
)
def test_the_certificate_of_the_holder_is_known(key: Any) -> None:
    holder = Holder(key)
    proof = holder.prove()
    assert presented(proof, statement=STATEMENT, now=NOW) == Presented(TOKEN, holder.fingerprint)
    assert token_of(proof) == TOKEN


def test_a_bare_token_proves_nothing() -> None:
    assert presented(TOKEN, statement=STATEMENT, now=NOW) == Presented(TOKEN, "")
    assert token_of(TOKEN) == TOKEN


def test_it_is_for_one_statement_and_one_time() -> None:
    proof = HOLDER.prove()
    with pytest.raises(Denied, match="just this request"):
        presented(proof, statement=STATEMENT + b" ", now=NOW)
    for now in (NOW + 60, NOW + 10_000):
        with pytest.raises(Denied, match="has ended"):
            presented(proof, statement=STATEMENT, now=now)
    with pytest.raises(Denied, match="longer than a day"):
        presented(HOLDER.prove(until=NOW + MAX_VALID_SECONDS + 1), statement=STATEMENT, now=NOW)


@pytest.mark.parametrize("begins", [NOW - 3 * 86400, NOW + 1])
def test_the_certificate_must_be_valid_now(begins: int) -> None:
    holder = Holder(ed25519.Ed25519PrivateKey.generate(), begins=begins)
    with pytest.raises(Denied, match="not valid now"):
        presented(holder.prove(), statement=STATEMENT, now=NOW)


def test_nobody_proves_with_a_certificate_of_another() -> None:
    thief = Holder(ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(BadRequest, match="not that of the client certificate"):
        prove(TOKEN, statement=STATEMENT, until=NOW + 60, certificate=HOLDER.certificate, key=thief.key)
    own, of_holder = (
        msgspec.json.decode(base64.urlsafe_b64decode(text[len(PREFIX) :]))
        for text in (thief.prove(), HOLDER.prove())
    )
    for change in ({"token": "other"}, {"certificate": of_holder["certificate"]}, {"until": NOW + 59}):
        text = PREFIX + base64.urlsafe_b64encode(msgspec.json.encode(own | change)).decode()
        with pytest.raises(Denied, match="just this request"):
            presented(text, statement=STATEMENT, now=NOW)


def test_what_is_no_pair_is_refused() -> None:
    strange = Holder(ed448.Ed448PrivateKey.generate())
    with pytest.raises(BadRequest, match="Ed25519, EC or RSA"):
        strange.prove()
    with pytest.raises(BadRequest, match="PEM"):
        prove(TOKEN, statement=STATEMENT, until=NOW, certificate=b"x", key=HOLDER.key)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_anything_else_is_malformed(text: str) -> None:
    with pytest.raises(BadRequest, match="malformed"):
        presented(PREFIX + text, statement=STATEMENT, now=NOW)
    assert token_of(PREFIX + text) == ""


# The serial number that a changed character makes may be one that the library tolerates with a warning.
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.data())
def test_no_changed_character_goes_unnoticed(data: st.DataObject) -> None:
    proof = HOLDER.prove()
    place = data.draw(st.integers(len(PREFIX), len(proof) - 1))
    changed = proof[:place] + data.draw(st.sampled_from("ABxyz019-_=")) + proof[place + 1 :]
    try:
        found = presented(changed, statement=STATEMENT, now=NOW)
    except (BadRequest, Denied):
        assert changed != proof
        return
    assert found == Presented(TOKEN, HOLDER.fingerprint), "the same, or another encoding of it"
