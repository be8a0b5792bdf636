"""What ``ronctl keys destroy --dry-run`` shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

_ROW: Final = "  {:<8} {:<16} {:<21} {:<21} {:>9}  {}"


def dry_run_lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """The lines for an answer of ``POST /v1/kms/keys/{key_id}/destroy`` with ``dry_run``."""
    run = answer["dry_run"]
    version = answer.get("key_version")
    name = answer["key_id"] if version is None else f"{answer['key_id']} version {version}"
    yield f"{name} is {answer['state']}; its material would go at {_time(answer['destroy_at'])}"
    if run["uses"]:
        yield _ROW.format("version", "op", "first", "last", "count", "token")
        for use in run["uses"]:
            op = f"{use['op']} refused" if use.get("refused") else use["op"]
            yield _ROW.format(
                use.get("key_version", "-"),
                op,
                _time(use["first_at"]),
                _time(use["last_at"]),
                use["count"],
                use["token"],
            )
    elif "usage_since" in run:
        yield f"no use since {_time(run['usage_since'])}, from when on uses are known"
    if not run["usage_complete"]:
        yield "the newest uses are not known yet"
    yield f"refused: {run['detail']}" if "detail" in run else "nothing stands against it; nothing was changed"


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
