"""Private keys sealed in files, used in native locked memory: ``KMS_BACKEND=file``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Final, TypeVar

from ronkms_native import Custody, CustodyFull, PrivateKey

from ronkms.backends.native_errors import translated
from ronkms.backends.protocol import KeyHandle
from ronkms.errors import BackendUnavailable

T = TypeVar("T")

WARM_HANDLES: Final = 1024
"""Upper bound of handles kept warm; locked memory, which is often limited to 8 MiB, may set a lower one."""


class SealedKeyHandle:
    """A native handle whose errors are those of ``ronkms.errors``. Its repr shows the algorithm alone."""

    __slots__ = ("_native",)

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

    def sign_batch(self, messages: list[bytes], *, context: bytes = b"") -> list[bytes]:
        """As ``ronkms_native.PrivateKey.sign_batch``. Raises BadRequest."""
        with translated:
            return self._native.sign_batch(messages, context=context)

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

    def __init__(self, custody: Custody, *, warm_handles: int = WARM_HANDLES) -> None:
        """``warm_handles``: upper bound of handles kept between requests."""
        self._custody = custody
        self._limit = warm_handles
        self._handles: OrderedDict[bytes, SealedKeyHandle] = OrderedDict()
        self._change = Lock()

    def generate(self, alg: str, identity: bytes) -> tuple[bytes, bytes]:
        """(record, public key), as ``Custody.generate``. Raises BadRequest (algorithm not offered)."""
        return self._with_room(lambda: self._custody.generate(alg, identity))

    def warm(self, identity: bytes) -> KeyHandle | None:
        """The handle if it is in the warm set. Counts as a use."""
        with self._change:
            handle = self._handles.get(identity)
            if handle is not None:
                self._handles.move_to_end(identity)
            return handle

    def open(self, record: bytes, identity: bytes) -> KeyHandle:
        """Opens the record and keeps the handle warm.

        Raises BackendUnavailable: the record does not open under this root key and identity, or all locked
        memory is in use.
        """
        handle = SealedKeyHandle(self._with_room(lambda: self._custody.unseal(record, identity)))
        with self._change:
            self._handles[identity] = handle
            self._handles.move_to_end(identity)
            if len(self._handles) > self._limit:
                self._handles.popitem(last=False)
        return handle

    def _with_room(self, use: Callable[[], T]) -> T:
        """Evicts the handles that were not used for longest until ``use`` finds locked memory."""
        while True:
            try:
                with translated:
                    return use()
            except BackendUnavailable as error:
                if not isinstance(error.__cause__, CustodyFull) or not self._evict_oldest():
                    raise

    def _evict_oldest(self) -> bool:
        with self._change:
            if not self._handles:
                return False
            self._handles.popitem(last=False)
            return True

    def evict(self, identity: bytes) -> None:
        """Forgets a handle at once. A signature that is being made with it ends first."""
        with self._change:
            self._handles.pop(identity, None)

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
        self._change = Lock()
        self._handles.clear()
        with translated:
            self._custody.relock()
