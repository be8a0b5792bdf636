"""The one place where backends are registered: the value of ``KMS_BACKEND`` to what makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from ronkms_native import Custody

from ronkms.backends.protocol import Backend
from ronkms.backends.sealed_file import SealedFileBackend
from ronkms.errors import ConfigError

BackendFactory = Callable[[Custody], Backend]

FACTORIES: Final[Mapping[str, BackendFactory]] = MappingProxyType({SealedFileBackend.name: SealedFileBackend})


def open_backend(name: str, custody: Custody) -> Backend:
    """The backend of that name. Raises ConfigError: not one of those built in."""
    try:
        factory = FACTORIES[name]
    except KeyError:
        raise ConfigError(f"KMS_BACKEND must be one of {', '.join(FACTORIES)}, not {name!r}") from None
    return factory(custody)
