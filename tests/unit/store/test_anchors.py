"""What the key store remembers of other journals: over restarts, compactions and in all processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ronkms.errors import IntegrityError
from ronkms.journal import JournalAnchor
from tests.fakes.generation import SharedGeneration
from tests.fakes.open_store import OpenStore


def test_an_anchor_grows_and_outlives_a_restart(tmp_path: Path) -> None:
    opened = OpenStore(tmp_path)
    assert opened.store.anchor("policy") is None
    opened.store.set_anchor("policy", JournalAnchor(3, {"a/": "1", "b/": "1"}))
    opened.store.set_anchor("policy", JournalAnchor(4, {"b/": "2"}))
    opened.store.set_anchor("other", JournalAnchor(9))
    opened.store.close()
    again = OpenStore(tmp_path)
    assert again.store.anchor("policy") == JournalAnchor(4, {"a/": "1", "b/": "2"})
    assert again.store.anchor("other") == JournalAnchor(9)
    assert again.store.count() == {}
    again.store.close()


def test_another_process_sees_it(tmp_path: Path) -> None:
    generation = SharedGeneration()
    opened = OpenStore(tmp_path, generation=generation)
    before = generation.load()
    opened.store.set_anchor("policy", JournalAnchor(3))
    assert generation.load() > before
    opened.store.close()


def test_a_compaction_keeps_it(tmp_path: Path) -> None:
    opened = OpenStore(tmp_path)
    opened.create("k")
    kept = {f"tenant/{number}": "x" * 50 for number in range(2500)}
    opened.store.set_anchor("policy", JournalAnchor(1, kept))
    for number in range(2, 100):
        opened.store.set_anchor("policy", JournalAnchor(number))
    opened.store.close()
    size = (tmp_path / "journal").stat().st_size
    again = OpenStore(tmp_path)
    assert (tmp_path / "journal").stat().st_size < size
    assert again.store.anchor("policy") == JournalAnchor(99, kept)
    assert again.store.get("acme", "k").versions.keys() == {1}
    again.store.close()


def test_it_cannot_be_taken_out(tmp_path: Path) -> None:
    opened = OpenStore(tmp_path)
    opened.store.set_anchor("policy", JournalAnchor(3))
    opened.store.close()
    journal = tmp_path / "journal"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(IntegrityError):
        OpenStore(tmp_path)
