"""Searches the memory of another process for byte strings that must not be there."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_HEADER = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+\s*(.*)")
_CHUNK = 4 << 20


@dataclass(frozen=True)
class Region:
    """One mapping of /proc/PID/smaps."""

    start: int
    end: int
    permissions: str
    name: str
    locked: bool
    """Kept in RAM and out of core dumps (VmFlags ``lo`` and ``dd``): the custody region."""


@dataclass(frozen=True)
class Finding:
    """Where a needle was found."""

    pid: int
    needle: str
    address: int
    mapping: str

    def __str__(self) -> str:
        return f"{self.needle} in process {self.pid} at {self.address:#x} ({self.mapping or 'anonymous'})"


@dataclass(frozen=True)
class Scan:
    """What was found in one process; ``searched`` and ``locked`` count bytes of mappings."""

    findings: list[Finding]
    searched: int
    locked: int


def readable(pid: int) -> bool:
    """True if this process may read the memory of ``pid`` (root, or ptrace rights)."""
    try:
        regions(pid)
        with Path(f"/proc/{pid}/mem").open("rb"):
            return True
    except PermissionError:
        return False


def regions(pid: int) -> list[Region]:
    """All mappings of ``pid``."""
    found: list[Region] = []
    header: re.Match[str] | None = None
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if matched := _HEADER.fullmatch(line):
            header = matched
        elif line.startswith("VmFlags:") and header is not None:
            flags = line.split()[1:]
            found.append(
                Region(
                    int(header[1], 16),
                    int(header[2], 16),
                    header[3],
                    header[4],
                    "lo" in flags and "dd" in flags,
                )
            )
    return found


def encodings(name: str, secret: bytes) -> dict[str, bytes]:
    """The forms in which ``secret`` could lie in memory: raw, hex, and base64 and base64url at each of the
    three alignments (without the characters that neighbours would change)."""
    forms = {name: secret, f"{name} hex": secret.hex().encode(), f"{name} HEX": secret.hex().upper().encode()}
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + secret)
        inner = encoded[4 if shift else 0 : len(encoded) // 4 * 4 - 4]
        forms[f"{name} base64/{shift}"] = inner
        forms[f"{name} base64url/{shift}"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    return forms


def scan(pid: int, needles: Mapping[str, bytes]) -> Scan:
    """Searches every writable mapping of ``pid``, private or shared, the locked ones excepted."""
    findings: list[Finding] = []
    searched = locked = 0
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for region in regions(pid):
            if not region.permissions.startswith("rw") or region.name == "[vvar]":
                continue
            if region.locked:
                locked += region.end - region.start
                continue
            searched += region.end - region.start
            findings.extend(_search(memory, pid, region, needles))
    return Scan(findings, searched, locked)


def _search(memory: BinaryIO, pid: int, region: Region, needles: Mapping[str, bytes]) -> list[Finding]:
    findings: list[Finding] = []
    overlap = max(map(len, needles.values())) - 1
    position, tail = region.start, b""
    while position < region.end:
        try:
            memory.seek(position)
            piece = memory.read(min(_CHUNK, region.end - position))
        except OSError:
            # A page that the process cannot touch either, such as one beyond the end of its file.
            break
        if not piece:
            break
        window = tail + piece
        if window.strip(b"\0"):
            base = position - len(tail)
            for name, needle in needles.items():
                at = window.find(needle)
                if at >= 0:
                    findings.append(Finding(pid, name, base + at, region.name))
        position += len(piece)
        tail = window[-overlap:]
    return findings
