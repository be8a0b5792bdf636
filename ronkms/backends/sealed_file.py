"""Private keys sealed in files, used in native locked memory: ``KMS_BACKEND=file``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from ronkms_native import Custody, CustodyFull, PrivateKey

from ronkms.backends.native_errors import translated
from ronkms.backends.protocol import KeyHandle
from ronkms.backends.warm_handles import WarmHandles
from ronkms.domain.algorithm import ALGORITHMS
from ronkms.errors import BackendUnavailable

T = TypeVar("T")

_KEPT_IN_HEAP: Final = frozenset(
    row.name for row in ALGORITHMS.values() if not {"ES256", "ES384", "PS256"}.isdisjoint(row.components)
)
"""Algorithms whose library keeps the private key, or a part of it, in its own memory."""


class SealedKeyHandle:
    """A native handle whose errors are those of ``ronkms.errors``. Its repr shows the algorithm alone."""

    __slots__ = ("__weakref__", "_native")

    def __init__(self, native: PrivateKey) -> None:
        self._native = native

    def __repr__(self) -> str:
        return f"<SealedKeyHandle {self._native.alg}>"

    @property
    def alg(self) -> str:
        """Name of the algorithm."""
        return self._native.alg

    def sign(
        self,
        message: bytes,
        *,
        context: bytes = b"",
        input_kind: str = "message",
        p1363: bool = False,
        deterministic: bool = False,
    ) -> bytes:
        """As ``ronkms_native.PrivateKey.sign``. Raises BadRequest."""
        with translated:
            return self._native.sign(
                message, context=context, input_kind=input_kind, p1363=p1363, deterministic=deterministic
            )

    def sign_batch(
        self, messages: list[bytes], *, context: bytes = b"", background: bool = False
    ) -> list[bytes]:
        """As ``ronkms_native.PrivateKey.sign_batch``. Raises BadRequest."""
        with translated:
            return self._native.sign_batch(messages, context=context, background=background)

    def wrap(self, header: bytes, aad: bytes, plaintext: bytes) -> bytes:
        """As ``ronkms_native.PrivateKey.wrap``. Raises BadRequest."""
        with translated:
            return self._native.wrap(header, aad, plaintext)

    def unwrap(self, header: bytes, aad: bytes, ciphertext: bytes) -> bytes:
        """As ``ronkms_native.PrivateKey.unwrap``. Raises BadRequest: does not open under this key and aad."""
        with translated:
            return self._native.unwrap(header, aad, ciphertext)


class SealedFileBackend:
    """Keys of one root key. Invariant: a warm handle is one that ``open`` made in this very process."""

    name = "file"

    def __init__(self, custody: Custody, warm: WarmHandles[SealedKeyHandle] | None = None) -> None:
        """``warm``: keeps handles between requests."""
        self._custody = custody
        self._warm = WarmHandles[SealedKeyHandle]() if warm is None else warm

    def generate(self, alg: str, identity: bytes) -> tuple[bytes, bytes]:
        """(record, public key), as ``Custody.generate``. Raises BadRequest (algorithm not offered)."""
        return self._with_room(lambda: self._custody.generate(alg, identity))

    def warm(self, identity: bytes) -> KeyHandle | None:
        """The handle if it is in the warm set. Counts as a use."""
        return self._warm.get(identity)

    def open(self, record: bytes, identity: bytes) -> KeyHandle:
        """Opens the record and keeps the handle warm.

        Raises BackendUnavailable: the record does not open under this root key and identity, or all locked
        memory is in use.
        """
        handle = SealedKeyHandle(self._with_room(lambda: self._custody.unseal(record, identity)))
        self._warm.keep(identity, handle, in_heap=handle.alg in _KEPT_IN_HEAP)
        return handle

    def _with_room(self, use: Callable[[], T]) -> T:
        """Evicts the handles that were not used for longest until ``use`` finds locked memory."""
        while True:
            try:
                with translated:
                    return use()
            except BackendUnavailable as error:
                if not isinstance(error.__cause__, CustodyFull) or not self._warm.drop_oldest():
                    raise

    def evict(self, identity: bytes) -> None:
        """Forgets a handle at once. A signature that is being made with it ends first."""
        self._warm.drop(identity)

    def import_params(self, mechanism: str, identity: bytes) -> tuple[bytes, bytes]:
        """(sealed one-time private part, public part), as ``Custody.import_params``. Raises BadRequest."""
        return self._with_room(lambda: self._custody.import_params(mechanism, identity))

    def import_key(
        self, mechanism: str, params: bytes, params_identity: bytes, wrapped: bytes, alg: str, identity: bytes
    ) -> tuple[bytes, bytes]:
        """(record, public key), as ``Custody.import_key``. Raises BadRequest (does not unwrap, or is no key
        of ``alg``), BackendUnavailable (the one-time part is damaged)."""
        return self._with_room(
            lambda: self._custody.import_key(mechanism, params, params_identity, wrapped, alg, identity)
        )

    def missing(self) -> list[str]:
        """Nothing: an open custody is ready."""
        return []

    def after_fork(self) -> None:
        """Locks the root key's memory again and drops the parent's handles."""
        self._warm.after_fork()
        with translated:
            self._custody.relock()
