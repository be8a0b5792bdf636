"""Writes well-formed audit logs with nothing but the format's description."""

from __future__ import annotations

import hashlib
from pathlib import Path

ORIGIN = "0" * 64


def leaf(line: bytes) -> str:
    return hashlib.sha256(b"\x00" + line).hexdigest()


def make_lines(count: int, start: int = 0, prev: str = ORIGIN) -> list[bytes]:
    lines = []
    for seq in range(start, start + count):
        time = f"2026-11-24T20:00:{seq % 60:02d}.{seq:06d}Z"
        body = f'"v":1,"op":"sign","outcome":"ok","tenant":"acme","key_id":"orders-{seq}"}}'
        line = f'{{"seq":{seq},"prev":"{prev}","time":"{time}",{body}'.encode()
        prev = leaf(line)
        lines.append(line)
    return lines


def write_log(directory: Path, segments: list[list[bytes]]) -> None:
    for number, lines in enumerate(segments, start=1):
        path = directory / f"audit-{number:08d}.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in lines))
