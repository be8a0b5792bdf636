"""Reader of NIST response files (``.rsp`` and their kin): ``[section]`` lines, then ``name = value`` blocks.

A block ends at an empty line. A block in which a value repeats the name of the one before is split, as in
files whose blocks are not separated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_SECTION = re.compile(r"\[(.+)\]")
_VALUE = re.compile(r"([A-Za-z0-9 ]+?) *= *(.*)")


def blocks(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """(section, values by name) of each block with values, in the file's order."""
    section = ""
    block: dict[str, str] = {}
    for raw in [*text.splitlines(), ""]:
        line = raw.strip()
        header, value = _SECTION.fullmatch(line), _VALUE.fullmatch(line)
        if block and (not line or header or (value and value[1] in block)):
            yield section, block
            block = {}
        if header:
            section = header[1]
        elif value:
            block[value[1]] = value[2]
        elif line in {"FAIL", "Bad decrypt"}:
            block["FAIL"] = line
        elif line and not line.startswith("#"):
            raise ValueError(f"unexpected line {line[:60]!r}")
