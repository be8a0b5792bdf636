"""The private key that signs capabilities. Exists only in the process behind the admin socket.

The Biscuit library prints its private keys, so one never leaves the class here, which shows, copies and
pickles nothing. At rest it is sealed under the root key of the data directory (``SecretSeal``), bound to
its number.
"""

from __future__ import annotations

from typing import Final, NoReturn, Protocol, final

from biscuit_auth import Algorithm, Biscuit, BiscuitBuilder, KeyPair, PrivateKey

_IDENTITY: Final = b"ron-kms capability root v1"


class SecretSeal(Protocol):
    """The part of ``ronkms_native.Custody`` that is used here."""

    def seal_secret(self, secret: bytes, identity: bytes) -> bytes: ...

    def open_secret(self, sealed: bytes, identity: bytes) -> bytes: ...


@final
class RootKey:
    """One root's private key (Ed25519), usable to sign tokens and for nothing else."""

    __slots__ = ("__private", "_number")

    def __init__(self, number: int, private: PrivateKey) -> None:
        self._number = number
        self.__private = private

    @staticmethod
    def generate(number: int, seal: SecretSeal) -> tuple[RootKey, bytes, bytes]:
        """A fresh key from the operating system's randomness. Returns (key, public key, sealed key)."""
        pair = KeyPair()
        sealed = seal.seal_secret(bytes(pair.private_key.to_bytes()), _identity(number))
        return RootKey(number, pair.private_key), bytes(pair.public_key.to_bytes()), sealed

    @staticmethod
    def open(number: int, sealed: bytes, seal: SecretSeal) -> RootKey:
        """Inverse of ``generate``. Raises the seal's error: damaged, or sealed as another number."""
        secret = seal.open_secret(sealed, _identity(number))
        return RootKey(number, PrivateKey.from_bytes(secret, Algorithm.Ed25519))  # type: ignore[call-arg,attr-defined]

    @property
    def number(self) -> int:
        """The root number that tokens carry as root_key_id."""
        return self._number

    def sign(self, builder: BiscuitBuilder) -> Biscuit:
        """Signs an authority block."""
        builder.set_root_key_id(self._number)
        return builder.build(self.__private)

    def __repr__(self) -> str:
        return f"RootKey(number={self._number})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a capability root key cannot be copied or pickled")


def _identity(number: int) -> bytes:
    return _IDENTITY + number.to_bytes(4, "big")
