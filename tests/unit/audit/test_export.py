"""Exports: what is selected, how it is escaped, and that a broken chain ends one."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronkms.audit.export import FORMATS, Selection, export_directory
from ronkms.audit.export_cef import cef_line
from ronkms.audit.export_ocsf import ocsf_event
from ronkms.audit.records import AuditRecord
from ronkms.errors import IntegrityError
from tests.unit.audit.log_files import leaf, make_lines, write_log

LINES = make_lines(12)
FIELDS = {
    "seq": 7,
    "prev": "0" * 64,
    "time": "2026-11-24T20:26:58.757986Z",
    "v": 1,
    "op": "sign",
    "outcome": "denied",
    "tenant": "acme",
    "token": "ab" * 16,
    "corr_id": "c-1",
    "key_id": "orders",
    "key_version": 3,
    "alg": "Ed25519",
    "code": "denied",
    "detail": "no right",
    "later": {"x": [1]},
}
MILLISECONDS = 1795552018757


def record(**changes: Any) -> AuditRecord:
    fields = FIELDS | changes
    line = json.dumps(fields).encode()
    return AuditRecord(line, leaf(line), fields)


def read_cef(line: str) -> tuple[list[str], dict[str, str]]:
    """A reader of its own: header fields and extension, unescaped."""
    header: list[str] = [""]
    position = 0
    while len(header) < 8:
        character = line[position]
        if character == "\\":
            position += 1
            header[-1] += line[position]
        elif character == "|":
            header.append("")
        else:
            header[-1] += character
        position += 1
    extension = {}
    rest = line[position:]
    starts = list(re.finditer(r"(?:^| )([A-Za-z0-9]+)=", rest))
    for start, after in zip(starts, [*starts[1:], None], strict=True):
        value = rest[start.end() : after.start() if after else len(rest)]
        extension[start[1]] = re.sub(
            r"\\(.)", lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), value
        )
    return header[:7], extension


def test_jsonl_is_the_log_itself(tmp_path: Path) -> None:
    write_log(tmp_path, [LINES[:5], LINES[5:8], LINES[8:]])
    assert b"".join(export_directory(tmp_path, "jsonl", Selection())) == b"".join(
        line + b"\n" for line in LINES
    )


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        (Selection(since=datetime(2026, 11, 24, 20, 0, 8, 8, UTC)), LINES[8:]),
        (Selection(until=datetime(2026, 11, 24, 20, 0, 8, 8, UTC)), LINES[:8]),
        (Selection(tenant="acme"), LINES),
        (Selection(tenant="ac"), []),
        (Selection(op="sign"), LINES),
        (Selection(op="verify"), []),
    ],
)
def test_selection(tmp_path: Path, selection: Selection, taken: list[bytes]) -> None:
    write_log(tmp_path, [LINES])
    assert [line[:-1] for line in export_directory(tmp_path, "jsonl", selection)] == taken


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "broken",
    [
        LINES[:4] + LINES[5:],
        [*LINES[:4], LINES[4].replace(b"orders-4", b"orders-9"), *LINES[5:]],
        [*LINES[:5], b"not json", *LINES[5:]],
        [*LINES[:5], b"[]"],
        [*LINES[:5], b"{}"],
    ],
)
def test_a_broken_chain_ends_it(tmp_path: Path, form: str, broken: list[bytes]) -> None:
    write_log(tmp_path, [broken])
    out = []
    with pytest.raises(IntegrityError, match="ronctl audit verify"):
        out.extend(export_directory(tmp_path, form, Selection(tenant="nobody")))
    assert out == []


def test_a_missing_segment_ends_it(tmp_path: Path) -> None:
    write_log(tmp_path, [LINES[:5], LINES[5:8], LINES[8:]])
    (tmp_path / "audit-00000002.jsonl").unlink()
    lines = export_directory(tmp_path, "jsonl", Selection())
    assert [next(lines) for _ in range(5)] == [line + b"\n" for line in LINES[:5]]
    with pytest.raises(IntegrityError, match=r"audit-00000003.jsonl:1 does not continue"):
        next(lines)


def test_an_archive_by_itself(tmp_path: Path) -> None:
    write_log(tmp_path, [LINES[:5], LINES[5:8], LINES[8:]])
    (tmp_path / "audit-00000001.jsonl").unlink()
    assert len(list(export_directory(tmp_path, "ocsf", Selection()))) == 7


def test_an_unfinished_end_is_left_out(tmp_path: Path) -> None:
    write_log(tmp_path, [LINES])
    path = tmp_path / "audit-00000001.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    assert len(list(export_directory(tmp_path, "cef", Selection()))) == 11


def test_an_empty_directory(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="holds no audit segment"):
        list(export_directory(tmp_path, "jsonl", Selection()))


@pytest.mark.parametrize("time", ["2026-13-01T00:00:00.000000Z", "", "0001-01-01T00:00:00.000000+23:59"])
def test_an_impossible_time(time: str) -> None:
    for form in ("cef", "ocsf"):
        with pytest.raises(IntegrityError, match="record 7 has an impossible time"):
            FORMATS[form](record(time=time))


def test_cef() -> None:
    header, extension = read_cef(cef_line(record()).decode())
    assert header[:3] == ["CEF:0", "ron-kms", "ron-kms"]
    assert header[4:] == ["sign", "sign denied", "6"]
    assert extension == {
        "rt": str(MILLISECONDS),
        "externalId": "7",
        "outcome": "denied",
        "reason": "denied",
        "msg": "no right",
        "suid": "ab" * 16,
        "cs1": "acme",
        "cs1Label": "tenant",
        "cs2": "orders",
        "cs2Label": "keyId",
        "cs3": "Ed25519",
        "cs3Label": "alg",
        "cs4": "c-1",
        "cs4Label": "corrId",
        "cn1": "3",
        "cn1Label": "keyVersion",
        "cs6": record().leaf,
        "cs6Label": "leafHash",
        "flexString2": '{"later":{"x":[1]}}',
        "flexString2Label": "otherFields",
    }


def test_cef_escapes_exactly() -> None:
    line = cef_line(record(op="a|b\\c\nd", detail="p|q=r\\s\nt\ru")).decode()
    assert "|a\\|b\\\\c d|a\\|b\\\\c d denied|6|" in line
    assert " msg=p|q\\=r\\\\s\\nt\\ru suid=" in line


@given(text=st.text(max_size=60), op=st.text(max_size=20))
def test_cef_gives_texts_back(text: str, op: str) -> None:
    """Nobody who chooses a text can end a line, a field or a value early, or make one up."""
    line = cef_line(record(detail=text, op=op, key_id=text))
    assert len(line.decode().splitlines()) == 1
    header, extension = read_cef(line.decode())
    shown = re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]", " ", op)
    assert header[4:6] == [shown, f"{shown} denied"]
    kept = re.sub(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f\x85\u2028\u2029]", " ", text)
    assert extension["msg"] == extension["cs2"] == kept
    assert extension["externalId"] == "7"


def test_ocsf_has_what_the_class_requires() -> None:
    event = ocsf_event(record())
    assert {name: event[name] for name in ("category_uid", "class_uid", "activity_id", "type_uid")} == {
        "category_uid": 6,
        "class_uid": 6003,
        "activity_id": 99,
        "type_uid": 600399,
    }
    assert event["activity_name"] == "sign"
    assert (event["severity_id"], event["status_id"], event["status_code"]) == (3, 2, "denied")
    assert event["time"] == MILLISECONDS
    assert event["metadata"]["version"] == "1.3.0"
    assert event["metadata"]["product"]["vendor_name"] == "ron-kms"
    assert (event["metadata"]["sequence"], event["metadata"]["uid"]) == (7, record().leaf)
    assert event["actor"] == {"user": {"uid": "ab" * 16, "domain": "acme"}}
    assert event["api"]["operation"] == "sign"
    assert event["src_endpoint"] == {"name": "not recorded"}
    assert event["resources"] == [
        {"uid": "orders", "type": "key", "version": "3", "namespace": "acme", "labels": ["alg=Ed25519"]}
    ]
    assert event["unmapped"] == {"prev": "0" * 64, "v": 1, "key_version": 3, "later": {"x": [1]}}


@pytest.mark.parametrize(
    ("op", "activity"),
    [("create", 1), ("import", 1), ("read", 2), ("rotate", 3), ("state", 3), ("unwrap", 99), ("new", 99)],
)
def test_ocsf_activities(op: str, activity: int) -> None:
    event = ocsf_event(record(op=op))
    assert (event["activity_id"], event["type_uid"]) == (activity, 600300 + activity)


@given(
    fields=st.dictionaries(
        st.text("abc_.=|\\", max_size=8), st.one_of(st.text(), st.integers(), st.none(), st.booleans())
    )
)
def test_no_field_is_lost(fields: dict[str, Any]) -> None:
    """A field that is not known today is in the line of every format."""
    made = record(**{f"x{name}": value for name, value in fields.items()})
    _, extension = read_cef(cef_line(made).decode(errors="surrogatepass"))
    event = json.loads(FORMATS["ocsf"](made))
    for name, value in made.fields.items():
        if name.startswith("x"):
            assert event["unmapped"][name] == value
            assert name in json.loads(extension["flexString2"])
