"""Where the admin socket is, for whoever binds or connects."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PATH_LIMIT: Final = 100
"""Under the 108 bytes of ``sun_path``."""


@contextmanager
def reachable(path: Path) -> Iterator[str]:
    """An address for the socket at ``path``, which may be longer than a Unix address can be."""
    if len(os.fsencode(path)) <= _PATH_LIMIT:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
