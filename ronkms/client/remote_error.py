"""Turns an error code of the service back into the error it came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ronkms.errors import KmsError, MethodNotAllowed


def _all(kind: type[KmsError]) -> Iterator[type[KmsError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _all(child)


_BY_CODE: Final = {kind.code: kind for kind in _all(KmsError) if kind is not MethodNotAllowed}


def remote_error(code: str, message: str) -> KmsError:
    """The error that the service reported; a plain :class:`KmsError` for a code that is not known here."""
    return _BY_CODE.get(code, KmsError)(message)
