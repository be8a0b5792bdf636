"""The versions of a key by number, as small as a list: keys are many, and have few versions each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Generic, TypeVar

_Version = TypeVar("_Version")


class VersionTable(Mapping[int, _Version], Generic[_Version]):
    """Numbers run from 1 without a gap. Only the store changes one."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Iterable[_Version] = ()) -> None:
        """``rows``: versions 1, 2, ..."""
        self._rows: Final = list(rows)

    def __getitem__(self, number: int) -> _Version:
        """Raises KeyError."""
        if 0 < number <= len(self._rows):
            return self._rows[number - 1]
        raise KeyError(number)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[int]:
        return iter(range(1, len(self._rows) + 1))

    def __setitem__(self, number: int, version: _Version) -> None:
        """Replaces a version, or adds the next. Raises KeyError: it would leave a gap."""
        if number == len(self._rows) + 1:
            self._rows.append(version)
        elif 0 < number <= len(self._rows):
            self._rows[number - 1] = version
        else:
            raise KeyError(number)
