"""Brings the newest checkpoint of a log to its witness, and keeps the cosigned note."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ronkms.audit.checkpoint import Checkpoint, verify_checkpoint
from ronkms.audit.checkpoint_files import DIRECTORY, CheckpointFiles
from ronkms.audit.merkle import consistency_path
from ronkms.audit.note import Note, NoteKey, parse_signature
from ronkms.audit.tree_state import newest_checkpoint, tree_reader
from ronkms.audit.witness import encode_request
from ronkms.errors import BadRequest, IntegrityError, Unavailable
from ronkms.journal.durable_file import replace_file

COSIGNED: Final = "cosigned"
_TIMEOUT_SECONDS: Final = 10.0
_MAX_ANSWER: Final = 4096


def submit(directory: Path, url: str, witness: NoteKey) -> Checkpoint:
    """The witness at ``url`` (http://host:port) cosigns the newest checkpoint of the log in ``directory``.

    The cosigned note is kept in ``checkpoints/cosigned``. Raises IntegrityError: the witness knows more
    records or another tree, so that the log was rolled back or forked; Unavailable, BadRequest, OSError."""
    checkpoint = newest_checkpoint(directory)
    if checkpoint is None:
        raise BadRequest(f"{directory} has no checkpoint yet")
    note = CheckpointFiles(directory).latest()
    status, answer = _post(url, encode_request(0, [], note))
    if status == 409:
        known = int(answer) if answer.strip().isdigit() else -1
        if not 0 <= known <= checkpoint.size:
            raise IntegrityError(
                f"audit: the witness cosigned {answer.strip()} records, this log has {checkpoint.size}:"
                " the directory was rolled back"
            )
        with tree_reader(directory) as tree:
            path = consistency_path(tree, known, checkpoint.size)
        status, answer = _post(url, encode_request(known, path, note))
    if status in {409, 422}:
        raise IntegrityError(f"audit: the witness refuses this log: it was forked or rolled back: {answer}")
    if status != 200:
        raise Unavailable(f"the witness answers {status}: {answer.strip()}")
    parsed = Note.parse(note)
    cosigned = Note(parsed.text, (*parsed.signatures, parse_signature(answer.removesuffix("\n"))))
    verify_checkpoint(str(cosigned), [witness])
    replace_file(directory / DIRECTORY / COSIGNED, str(cosigned).encode())
    return checkpoint


def _post(url: str, body: bytes) -> tuple[int, str]:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadRequest("the witness's URL has the form http://HOST:PORT")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("POST", f"{parts.path.rstrip('/')}/add-checkpoint", body)
        response = connection.getresponse()
        return response.status, response.read(_MAX_ANSWER).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"the witness at {url} cannot be reached: {error}") from None
    finally:
        connection.close()
