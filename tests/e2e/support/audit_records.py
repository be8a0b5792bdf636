"""Reads the audit log of a data directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_records(data_dir: Path) -> list[dict[str, Any]]:
    """All records of all segments, in order of their sequence numbers."""
    records = [
        json.loads(line)
        for segment in sorted((data_dir / "audit").glob("*.jsonl"))
        for line in segment.read_bytes().splitlines()
    ]
    return sorted(records, key=lambda record: int(record["seq"]))


def done(records: list[dict[str, Any]], op: str) -> set[tuple[str, int]]:
    """(key_id, key_version) of the operations ``op`` that the log says were done, batches left out."""
    return {
        (record["key_id"], record["key_version"])
        for record in records
        if record["op"] == op
        and record["outcome"] == "ok"
        and record.get("phase") != "intent"
        and "items" not in record
    }
