"""Metric families as text: Prometheus 0.0.4 and OpenMetrics 1.0.

``prometheus_client`` writes labels in alphabetical order; the runbook's one-liners read ``tenant`` before
``op``, so labels come out here in the order in which the collector gives them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from prometheus_client.core import Metric

PLAIN_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def render_metrics(families: Iterable[Metric], *, openmetrics: bool) -> bytes:
    """The body of a scrape. Families hold neither timestamps nor exemplars."""
    lines: list[str] = []
    for family in families:
        # In OpenMetrics a counter's family has no suffix, in the older text it has the sample's name.
        name = family.name if openmetrics or family.type != "counter" else f"{family.name}_total"
        lines.append(f"# HELP {name} {_escape(family.documentation, quotes=openmetrics)}")
        lines.append(f"# TYPE {name} {family.type}")
        for sample in family.samples:
            labels = ",".join(
                f'{key}="{_escape(value, quotes=True)}"' for key, value in sample.labels.items()
            )
            lines.append(
                f"{sample.name}{{{labels}}} {_number(sample.value)}"
                if labels
                else f"{sample.name} {_number(sample.value)}"
            )
    if openmetrics:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode()


def _escape(text: str, *, quotes: bool) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quotes else text


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1 << 53 else repr(float(value))
