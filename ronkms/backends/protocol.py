"""What the service asks of a place where private material lives: ``file``, ``pkcs11``, ``tpm``."""

from __future__ import annotations

from typing import Protocol


class KeyHandle(Protocol):
    """A usable private or secret key; see ``ronkms_native.PrivateKey`` for sizes and errors.

    Weakly referenceable: the hot path uses a handle as long as its backend keeps it warm."""

    @property
    def alg(self) -> str: ...

    def sign(
        self,
        message: bytes,
        *,
        context: bytes = b"",
        input_kind: str = "message",
        p1363: bool = False,
        deterministic: bool = False,
    ) -> bytes: ...

    def sign_batch(
        self, messages: list[bytes], *, context: bytes = b"", background: bool = False
    ) -> list[bytes]: ...

    def wrap(self, header: bytes, aad: bytes, plaintext: bytes) -> bytes: ...

    def unwrap(self, header: bytes, aad: bytes, ciphertext: bytes) -> bytes: ...


class Backend(Protocol):
    """One custody. ``name`` is the value of ``KMS_BACKEND``."""

    name: str

    def generate(self, alg: str, identity: bytes) -> tuple[bytes, bytes]:
        """(record, public key). Raises BackendUnavailable, BadRequest (algorithm not offered)."""

    def warm(self, identity: bytes) -> KeyHandle | None:
        """The handle if it is in the warm set: spares the caller reading the record. Counts as a use."""

    def open(self, record: bytes, identity: bytes) -> KeyHandle:
        """A handle, from a bounded set kept warm. Raises BackendUnavailable (damaged record)."""

    def evict(self, identity: bytes) -> None:
        """Forgets a handle at once: the key was disabled or destroyed."""

    def import_params(self, mechanism: str, identity: bytes) -> tuple[bytes, bytes]:
        """(sealed one-time private part, public part)."""

    def import_key(
        self, mechanism: str, params: bytes, params_identity: bytes, wrapped: bytes, alg: str, identity: bytes
    ) -> tuple[bytes, bytes]:
        """(record, public key). Raises BadRequest: does not unwrap, or is no key of ``alg``."""

    def missing(self) -> list[str]:
        """What keeps the backend from being ready; empty when it is."""

    def after_fork(self) -> None:
        """To be called in each child."""
