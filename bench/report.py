"""What a bench keeps: NAME.json with all figures and NAME.svg with those that have an aim."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape

import svg

_LABELS, _BARS, _VALUES = 400, 440, 60
_TOP, _ROW, _THICK = 70, 44, 15
_MEASURED, _AIM = "#2563ab", "#b9c4d0"


@dataclass(frozen=True)
class Bar:
    """One row of the plot: what was measured beside its aim, in the same unit."""

    label: str
    measured: float
    aim: float | None


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def cpu_model() -> str:
    """The processor's name, family and model, for example ``AMD EPYC (family 26, model 2)``."""
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, found, value = line.partition(":")
        if found:
            fields.setdefault(name.strip(), value.strip())
    name = fields.get("model name", platform.machine())
    return f"{name} (family {fields.get('cpu family', '?')}, model {fields.get('model', '?')})"


def write(directory: Path, name: str, report: Mapping[str, Any], title: str, bars: Sequence[Bar]) -> None:
    """Writes NAME.json and NAME.svg into ``directory``, which is made if it is not there."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.json").write_text(json.dumps(report, indent=2) + "\n")
    (directory / f"{name}.svg").write_bytes(plot(title, bars))


def plot(title: str, bars: Sequence[Bar]) -> bytes:
    """A standalone SVG: horizontal bars in the order given, in proportion, without outside references."""
    scale = _BARS / max(value for bar in bars for value in (bar.measured, bar.aim or 0.0))
    width, height = _LABELS + _BARS + _VALUES, _TOP + _ROW * len(bars) + 10
    drawn: list[svg.Element] = [
        svg.Rect(x=0, y=0, width=width, height=height, fill="white"),
        _text(title, 16, 26, size=16),
        *_entry(16, "measured", _MEASURED),
        *_entry(120, "aim", _AIM),
    ]
    for number, bar in enumerate(bars):
        y = _TOP + _ROW * number
        drawn.append(_text(bar.label, _LABELS - 10, y + _THICK + 4, anchor="end"))
        for value, color in ((bar.measured, _MEASURED), (bar.aim, _AIM)):
            if value is not None:
                drawn.append(
                    svg.Rect(x=_LABELS, y=y, width=round(value * scale, 1), height=_THICK, fill=color)
                )
                drawn.append(_text(f"{value:.3g}", _LABELS + round(value * scale, 1) + 6, y + 12))
            y += _THICK + 2
    canvas = svg.SVG(viewBox=svg.ViewBoxSpec(0, 0, width, height), elements=drawn)
    return canvas.as_str().encode() + b"\n"


def _text(
    words: str, x: float, y: float, *, size: int = 12, anchor: Literal["start", "end"] = "start"
) -> svg.Text:
    return svg.Text(
        text=escape(words),
        x=x,
        y=y,
        font_family="sans-serif",
        font_size=size,
        text_anchor=anchor,
        fill="#1a1a1a",
    )


def _entry(x: int, name: str, color: str) -> tuple[svg.Element, svg.Element]:
    return svg.Rect(x=x, y=40, width=12, height=12, fill=color), _text(name, x + 18, 51)
