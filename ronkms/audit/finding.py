"""One line of a verifier's report."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """Something wrong, or worth a look, and where."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"
