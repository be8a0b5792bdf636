"""Inclusion and consistency proofs as documents: made from a directory, verified from keys alone.

See docs/formats/checkpoint.md. A proof is verified before it is given away.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from ronkms.audit import merkle
from ronkms.audit.checkpoint import Checkpoint, verify_checkpoint
from ronkms.audit.checkpoint_files import CheckpointFiles
from ronkms.audit.follower import line_of
from ronkms.audit.note import Note, NoteKey
from ronkms.audit.tree_files import TreeReader
from ronkms.audit.tree_state import tree_reader
from ronkms.errors import BadRequest, IntegrityError

VERSION: Final = 1


class InclusionProof(msgspec.Struct, frozen=True, kw_only=True):
    """That ``record``, a line of the log without its newline, is number ``index`` of the log.

    ``hashes``: RFC 9162 section 2.1.3, 32 bytes each. ``checkpoint``: a signed note."""

    v: int = VERSION
    kind: Literal["inclusion"] = "inclusion"
    record: str
    index: int
    size: int
    hashes: list[bytes]
    checkpoint: str


class ConsistencyProof(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That the tree of the first ``to`` records goes on from that of the first ``from_``.

    ``hashes``: RFC 9162 section 2.1.4. ``checkpoint``: of size ``to``, if it is the newest."""

    v: int
    kind: Literal["consistency"]
    from_: int = msgspec.field(name="from")
    to: int
    from_root: bytes
    to_root: bytes
    hashes: list[bytes]
    checkpoint: str = ""


class _Kind(msgspec.Struct):
    v: int
    kind: Literal["inclusion", "consistency"]


def prove_inclusion(
    directory: Path,
    record: int,
    *,
    line: bytes | None = None,
    tree: TreeReader | None = None,
    archive: Path | None = None,
) -> InclusionProof:
    """From the newest checkpoint of the log in ``directory``. ``line``: of the record, if it is known.
    ``archive``: where records are that left ``directory``.

    Raises BadRequest: no checkpoint covers it yet; IntegrityError, OSError."""
    note, checkpoint = _newest(directory)
    if not 0 <= record < checkpoint.size:
        raise BadRequest(f"the newest checkpoint covers records 0 to {checkpoint.size - 1}, not {record}")
    if line is None:
        line = line_of(directory, record, archive)
    if tree is None:
        with tree_reader(directory) as opened:
            path = merkle.inclusion_path(opened, record, checkpoint.size)
    else:
        path = merkle.inclusion_path(tree, record, checkpoint.size)
    merkle.verify_inclusion(merkle.leaf_hash(line), record, checkpoint.size, path, checkpoint.root)
    return InclusionProof(
        record=line.decode(), index=record, size=checkpoint.size, hashes=path, checkpoint=note
    )


def prove_consistency(directory: Path, old: int, size: int) -> ConsistencyProof:
    """Between two sizes of the log in ``directory``. Raises BadRequest, IntegrityError, OSError."""
    note, checkpoint = _newest(directory)
    if not 0 <= old <= size <= checkpoint.size:
        raise BadRequest(f"--from and --to must ascend and be at most {checkpoint.size}")
    with tree_reader(directory) as tree:
        path = merkle.consistency_path(tree, old, size)
        old_root, root = merkle.root(tree, old), merkle.root(tree, size)
    merkle.verify_consistency(old, size, path, old_root, root)
    return ConsistencyProof(
        v=VERSION,
        kind="consistency",
        from_=old,
        to=size,
        from_root=old_root,
        to_root=root,
        hashes=path,
        checkpoint=note if size == checkpoint.size else "",
    )


def verify_proof(document: bytes, keys: Sequence[NoteKey]) -> str:
    """What the proof in ``document`` (JSON) shows, in one line. Raises IntegrityError: it shows nothing."""
    try:
        kind = msgspec.json.decode(document, type=_Kind)
        if kind.v != VERSION:
            raise IntegrityError(f"the proof has version {kind.v}; this ronctl knows {VERSION}")
        if kind.kind == "inclusion":
            return _verify_inclusion(msgspec.json.decode(document, type=InclusionProof), keys)
        return _verify_consistency(msgspec.json.decode(document, type=ConsistencyProof), keys)
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"the file is not a proof: {error}") from None


def _verify_inclusion(proof: InclusionProof, keys: Sequence[NoteKey]) -> str:
    checkpoint = verify_checkpoint(proof.checkpoint, keys).checkpoint
    if checkpoint.size != proof.size:
        raise IntegrityError(f"the proof is for {proof.size} records, its checkpoint for {checkpoint.size}")
    leaf = merkle.leaf_hash(proof.record.encode())
    merkle.verify_inclusion(leaf, proof.index, proof.size, proof.hashes, checkpoint.root)
    return f"record {proof.index} is in {checkpoint.origin} of {checkpoint.size} records"


def _verify_consistency(proof: ConsistencyProof, keys: Sequence[NoteKey]) -> str:
    merkle.verify_consistency(proof.from_, proof.to, proof.hashes, proof.from_root, proof.to_root)
    shown = f"the tree of {proof.to} records continues that of {proof.from_}"
    if not proof.checkpoint:
        return f"{shown}; compare its roots with signed checkpoints"
    checkpoint = verify_checkpoint(proof.checkpoint, keys).checkpoint
    if (checkpoint.size, checkpoint.root) != (proof.to, proof.to_root):
        raise IntegrityError("the consistency proof does not lead to its checkpoint")
    return f"{shown}, in {checkpoint.origin}"


def _newest(directory: Path) -> tuple[str, Checkpoint]:
    note = CheckpointFiles(directory).latest()
    if not note:
        raise BadRequest(f"{directory} has no checkpoint yet")
    return note, Checkpoint.parse(Note.parse(note).text)
