"""The seam where errors of the native core become those of ``ronkms.errors``."""

from __future__ import annotations

from types import TracebackType
from typing import Final

from ronkms_native import CustodyFull, DamagedRecord, InputError, KeyMaterialError, NativeError, UnwrapError

from ronkms.errors import BackendUnavailable, BadRequest, KmsError


def from_native(error: NativeError) -> KmsError:
    """The caller's mistake is BadRequest; all else keeps custody from using a key: BackendUnavailable.

    Native messages are safe to show (``_native.pyi``).
    """
    if isinstance(error, InputError | KeyMaterialError | UnwrapError):
        return BadRequest(str(error))
    if isinstance(error, DamagedRecord):
        return BackendUnavailable(f"a key's record does not open under this root key: {error}")
    if isinstance(error, CustodyFull):
        return BackendUnavailable("all locked memory is in use; raise the limit (LimitMEMLOCK) or try again")
    return BackendUnavailable(f"custody failed: {error}")


class _Translated:
    """A reusable ``with`` block without state: cheaper than a generator on the way of each signature."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, NativeError):
            raise from_native(error) from error


translated: Final = _Translated()
