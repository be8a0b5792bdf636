"""Brings the tree on disk to the newest checkpoint, and the checkpoint against the log.

See docs/formats/checkpoint.md, "At the start".
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from ronkms.audit.checkpoint import Checkpoint, verify_checkpoint
from ronkms.audit.checkpoint_files import CheckpointFiles
from ronkms.audit.follower import LogFollower
from ronkms.audit.log_keys import FILE, read_log_keys
from ronkms.audit.merkle import EMPTY_ROOT
from ronkms.audit.retention_state import check_present
from ronkms.audit.tree_files import TreeReader, TreeWriter
from ronkms.errors import IntegrityError

TREE: Final = "tree"


class TreeState(NamedTuple):
    """A tree that is as large as ``checkpoint``, and a follower at the record behind it."""

    checkpoint: Checkpoint
    tree: TreeWriter
    follower: LogFollower


def tree_reader(directory: Path) -> TreeReader:
    """The tree of the log in ``directory``."""
    return TreeReader(directory / TREE)


def newest_checkpoint(directory: Path) -> Checkpoint | None:
    """The newest checkpoint of the log in ``directory``, its signatures verified with the log's own keys.

    None if there never was one. Raises IntegrityError, OSError."""
    files = CheckpointFiles(directory)
    encoded = files.latest()
    if not encoded:
        if files.history():
            raise IntegrityError("audit: checkpoints/latest was removed, the history is there")
        return None
    keys = read_log_keys(directory)
    if keys is None:
        raise IntegrityError(f"audit: there are checkpoints, but {FILE} was removed")
    checkpoint = verify_checkpoint(encoded, keys.note_keys()).checkpoint
    if checkpoint.origin != keys.origin:
        raise IntegrityError("audit: the newest checkpoint is of another log")
    return checkpoint


def open_tree(directory: Path, archive: Path | None = None) -> TreeState:
    """The tree at the newest checkpoint; what it lacks is made again. One process at a time.

    ``archive``: where segments are that left ``directory``.

    Raises IntegrityError: the log, the checkpoint and the tree do not fit; OSError."""
    checkpoint = newest_checkpoint(directory) or Checkpoint("", 0, EMPTY_ROOT)
    tree = TreeWriter(directory / TREE)
    try:
        tree.cut(checkpoint.size)
        if not _fits(tree, checkpoint):
            tree.rebuild()
        if not _fits(tree, checkpoint):
            _refill(tree, LogFollower(directory, archive=archive), checkpoint)
        return TreeState(checkpoint, tree, follower_behind(tree, directory))
    except BaseException:
        tree.close()
        raise


def follower_behind(tree: TreeWriter, directory: Path) -> LogFollower:
    """A follower at the record that ``tree`` lacks next. Raises IntegrityError, OSError."""
    leaf = tree.node(0, tree.size - 1) if tree.size else bytes(32)
    return LogFollower(directory, tree.size, leaf)


def check_log(directory: Path, records: int, leaf: str, archive: Path | None = None) -> None:
    """For the start: the newest checkpoint must be about this log, which has ``records`` records and ends
    with the leaf hash ``leaf`` (hex), and no segment is missing that did not leave by intent.

    ``archive``: see :func:`open_tree`. Raises IntegrityError, OSError."""
    check_present(directory)
    checkpoint = newest_checkpoint(directory)
    if checkpoint is None:
        return
    if records < checkpoint.size:
        raise IntegrityError(
            f"audit: the log has {records} records, its newest checkpoint {checkpoint.size}:"
            " it was cut off or rolled back"
        )
    state = open_tree(directory, archive)
    with state.tree:
        state.follower.read(checkpoint.size + 1)
        if records > checkpoint.size and state.follower.record == checkpoint.size:
            raise IntegrityError(f"audit: record {checkpoint.size} is not in the segments")
        if records == checkpoint.size and state.follower.leaf.hex() != leaf:
            raise IntegrityError(
                f"audit: the log of {records} records ends otherwise than its checkpoint says: written anew"
            )


def _fits(tree: TreeWriter, checkpoint: Checkpoint) -> bool:
    try:
        return tree.size == checkpoint.size and tree.root() == checkpoint.root
    except IntegrityError:
        return False


def _refill(tree: TreeWriter, follower: LogFollower, checkpoint: Checkpoint) -> None:
    tree.cut(0)
    while leaves := follower.read(checkpoint.size):
        tree.append(leaves)
    if tree.size < checkpoint.size:
        raise IntegrityError(
            f"audit: the log has {tree.size} records, its newest checkpoint {checkpoint.size}:"
            " it was cut off or rolled back"
        )
    if tree.root() != checkpoint.root:
        raise IntegrityError(
            f"audit: the first {checkpoint.size} records are not those of the newest checkpoint:"
            " the log was written anew"
        )
