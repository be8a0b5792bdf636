"""The file of epochs: what can come about, what is refused, and what the log's lines must say of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronkms.audit.digest_epochs import EpochFile, decode_epochs, read_epochs, write_epochs
from ronkms.audit.digest_lines import AnnouncedEpochs
from ronkms.errors import IntegrityError

STEPS = st.lists(st.sampled_from(["begin", "announce", "destroy", "restart"]), max_size=30)


@given(STEPS, st.data())
def test_whatever_happens_one_announced_epoch_is_in_use(steps: list[str], data: st.DataObject) -> None:
    file = EpochFile(1, ())
    record = 0
    for now, step in enumerate(steps, start=1):
        before = file
        if step == "begin" and file.pending is None:
            file = file.begin(sealed=b"s", check=f"{now:064x}", now=now)
        elif step == "announce" and file.pending is not None:
            record += data.draw(st.integers(1, 9))
            file = file.announce(record, data.draw(st.sampled_from(["", "ab" * 32])), now)
        elif step == "destroy" and file.epochs:
            number = data.draw(st.integers(1, len(file.epochs)))
            if file.epochs[number - 1].retired_at:
                file = file.destroy(number, now)
        file = decode_epochs(msgspec.json.encode(file))
        in_use = [each for each in file.epochs if each.announced and not each.retired_at]
        assert in_use == ([file.current] if file.current else [])
        assert [each.number for each in file.epochs] == list(range(1, len(file.epochs) + 1))
        assert [each.check for each in before.epochs] == [
            each.check for each in file.epochs[: len(before.epochs)]
        ]
        assert all(each.sealed for each in file.epochs if not each.destroyed_at)


def three() -> EpochFile:
    file = EpochFile(1, ())
    for number in (1, 2):
        file = file.begin(sealed=b"s", check="00" * 32, now=number).announce(number * 10, "", number)
    return file.begin(sealed=b"s", check="00" * 32, now=3)


def test_only_what_fits_is_done() -> None:
    file = three()
    with pytest.raises(ValueError, match="pending"):
        file.begin(sealed=b"s", check="", now=9)
    for number in (0, 2, 3, 4):
        with pytest.raises(ValueError, match="ended"):
            file.destroy(number, 9)
    with pytest.raises(ValueError, match="pending"):
        file.announce(30, "", 9).announce(31, "", 9)
    assert file.destroy(1, 9).destroy(1, 99).epochs[0].destroyed_at == 9


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 7},
        {"record": -1},
        {"sealed": b""},
        {"destroyed_at": 5},
        {"retired_at": 0},
        {"unknown": 1},
        {"check": 5},
    ],
)
def test_what_cannot_have_come_about_is_damage(changes: dict[str, object]) -> None:
    raw = msgspec.json.decode(msgspec.json.encode(three()))
    raw["epochs"][0] |= changes
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        decode_epochs(msgspec.json.encode(raw))


def test_files(tmp_path: Path) -> None:
    directory = tmp_path
    assert read_epochs(directory).epochs == ()
    write_epochs(directory, three())
    assert read_epochs(directory) == three()
    path = directory / "digest-keys.json"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(IntegrityError, match=r"digest-keys\.json is damaged"):
        read_epochs(directory)


def announcement(epoch: object, check: object = "aa") -> dict[str, object]:
    return {"op": "digest_key", "dk": epoch, "check": check}


def first_fault(records: list[dict[str, object]], *, from_start: bool = True) -> str:
    epochs = AnnouncedEpochs(from_start=from_start)
    return next((fault for record in records if (fault := epochs.fault(record))), "")


def test_announcements_in_the_log() -> None:
    good = [
        {"op": "sign"},
        announcement(1),
        {"op": "sign", "dk": 1},
        announcement(2),
        {"op": "sign", "dk": 1},
    ]
    assert first_fault([*good, {"op": "sign", "dk": 2}, announcement(2), announcement(3)]) == ""
    assert "was not announced" in first_fault([*good, {"op": "sign", "dk": 3}])
    assert "another key" in first_fault([*good, announcement(2, "bb")])
    assert "epoch 4 where 3 is due" in first_fault([*good, announcement(4)])
    assert "names no digest key" in first_fault([*good, {"op": "sign", "dk": "2"}])
    assert "announces no digest key" in first_fault([announcement("1")])
    assert "announces no digest key" in first_fault([announcement(1, None)])


def test_announcements_behind_an_archive() -> None:
    late = [{"op": "sign", "dk": 7}, announcement(8), {"op": "sign", "dk": 7}, {"op": "sign", "dk": 8}]
    assert first_fault(late, from_start=False) == ""
    assert "was not announced" in first_fault([*late, {"op": "sign", "dk": 9}], from_start=False)
    assert "where 10 is due" in first_fault([*late, announcement(9), announcement(11)], from_start=False)
