"""The tree on disk is the tree of its leaves, whatever a crash left behind."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ronkms.audit.frontier import Frontier
from ronkms.audit.merkle import leaf_hash
from ronkms.audit.tree_files import TreeReader, TreeWriter
from ronkms.errors import IntegrityError


def leaf_list(start: int, end: int) -> list[bytes]:
    return [leaf_hash(b"%d" % number) for number in range(start, end)]


def leaves(start: int, end: int) -> bytes:
    return b"".join(leaf_list(start, end))


def root_of(size: int) -> bytes:
    frontier = Frontier()
    for each in leaf_list(0, size):
        frontier.add(each)
    return frontier.root()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=8))
def test_grows_by_any_steps(steps: list[int]) -> None:
    with TemporaryDirectory() as place, TreeWriter(Path(place) / "tree") as tree:
        size = 0
        for step in steps:
            tree.append(leaves(size, size + step))
            size += step
            assert (tree.size, tree.leaves(), tree.root()) == (size, size, root_of(size))


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 90))
def test_a_torn_addition_is_cut_and_made_again(data: st.DataObject, size: int) -> None:
    """Each level's file may have lost its end, or have bytes too many, behind what a checkpoint covers."""
    with TemporaryDirectory() as place:
        directory = Path(place) / "tree"
        with TreeWriter(directory) as tree:
            tree.append(leaves(0, size))
        covered = data.draw(st.integers(0, size))
        for path in sorted(directory.iterdir()):
            level = int(path.name[6:])
            least, most = (covered >> level) * 32, path.stat().st_size
            os.truncate(path, data.draw(st.integers(least, most)))
            with path.open("ab") as file:
                file.write(data.draw(st.binary(max_size=40)) if path.stat().st_size > least else b"")
        with TreeWriter(directory) as tree:
            tree.cut(covered)
            assert tree.root() == root_of(covered)
            tree.append(leaves(covered, size + 5))
            assert tree.root() == root_of(size + 5)


def test_levels_are_made_again_from_the_leaves(tmp_path: Path) -> None:
    directory = tmp_path / "tree"
    with TreeWriter(directory) as tree:
        tree.append(leaves(0, 1000))
    (directory / "level-03").write_bytes(bytes(5 * 32))
    (directory / "level-04").unlink()
    with TreeWriter(directory) as tree:
        tree.rebuild()
        assert tree.root() == root_of(1000)


def test_a_reader_sees_what_is_written(tmp_path: Path) -> None:
    directory = tmp_path / "tree"
    with TreeReader(directory) as reader:
        assert reader.leaves() == 0
        with pytest.raises(IntegrityError, match="lacks"):
            reader.node(0, 0)
        with TreeWriter(directory) as writer:
            writer.append(leaves(0, 3))
            assert reader.leaves() == 3
            assert reader.nodes(0, 1, 5) == leaf_list(1, 3)
