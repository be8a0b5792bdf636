"""The files that a bench keeps."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

from bench import report
from bench.interleave import Samples
from bench.native import FIGURES, as_report, bars

BARS = [report.Bar("first & foremost", 3.12, 3.0), report.Bar("without an aim", 0.5, None)]


def test_the_plot_stands_alone() -> None:
    drawn = report.plot("Title", BARS)
    root = ElementTree.fromstring(drawn)
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert "script" not in names
    assert not [name for element in root.iter() for name, _ in element.items() if name.endswith("href")]
    texts = {text.strip() for text in root.itertext()}
    assert {"Title", "first & foremost", "without an aim", "3.12", "3", "0.5"} <= texts


def test_bars_are_in_proportion() -> None:
    root = ElementTree.fromstring(report.plot("Title", BARS))
    # Behind them: the background and two entries of the legend.
    rectangles = list(root.iter("{http://www.w3.org/2000/svg}rect"))[3:]
    widths = [float(rectangle.get("width", "0")) for rectangle in rectangles]
    assert [round(width / widths[0], 2) for width in widths] == [1.0, 0.96, 0.16]


def test_both_files_are_written(tmp_path: Path) -> None:
    report.write(tmp_path / "new", "native", {"figures": {"x": 1}}, "Title", BARS)
    assert json.loads((tmp_path / "new" / "native.json").read_text()) == {"figures": {"x": 1}}
    assert b"<svg" in (tmp_path / "new" / "native.svg").read_bytes()


def test_the_processor_is_named() -> None:
    assert re.search(r"\(family .+, model .+\)$", report.cpu_model())
    assert report.machine()["cpu"] == report.cpu_model()


def test_figures_without_a_reference_are_left_out() -> None:
    measured = {figure.operation for figure in FIGURES} | {
        figure.reference for figure in FIGURES if figure.reference and "liboqs" not in figure.reference
    }
    made = as_report(Samples({name: [2e6, 4e6, 3e6] for name in measured}), rounds=3, seconds=0.1)
    figures = made["figures"]
    assert figures["cache hit from Cython, million/s"] == {"median": 3.0, "min": 2.0, "max": 4.0, "aim": 3.0}  # type: ignore[index]
    assert figures["Ed25519 verify / cryptography"]["median"] == 1.0  # type: ignore[index]
    assert not [label for label in figures if "liboqs" in label]  # type: ignore[attr-defined]
    assert {bar.label for bar in bars(figures)} == {  # type: ignore[arg-type]
        figure.label for figure in FIGURES if figure.aim and "liboqs" not in figure.label
    }
