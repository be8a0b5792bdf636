"""The file of last uses (docs/formats/usage.md): one process writes, others read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from ronkms.audit.tail import START, Position
from ronkms.domain.key_use import KeyUsage, UseName, Uses
from ronkms.usage.log_uses import UserOfKey

USAGE_FILE: Final = "usage.db"
FORMAT: Final = 1
KEPT_USERS: Final = 16
"""Tokens that are kept of each row of ``totals``."""
BUSY_SECONDS: Final = 5.0

_TABLES: Final = {"place", "totals", "users"}
_SCHEMA: Final = """
BEGIN;
CREATE TABLE place (format INTEGER, segment INTEGER, offset INTEGER, since INTEGER);
INSERT INTO place VALUES (1, 0, 0, NULL);
CREATE TABLE totals (
    tenant TEXT, key_id TEXT, version INTEGER, op TEXT, refused INTEGER,
    token TEXT, first INTEGER, last INTEGER, count INTEGER,
    PRIMARY KEY (tenant, key_id, version, op, refused)
) WITHOUT ROWID;
CREATE TABLE users (
    tenant TEXT, key_id TEXT, version INTEGER, op TEXT, refused INTEGER,
    token TEXT, first INTEGER, last INTEGER, count INTEGER,
    PRIMARY KEY (tenant, key_id, version, op, refused, token)
) WITHOUT ROWID;
COMMIT;
"""
_ADD_TOTAL: Final = """
INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET last = excluded.last, count = count + excluded.count, token = excluded.token
"""
_ADD_USER: Final = """
INSERT INTO users VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET last = excluded.last, count = count + excluded.count
"""
_FORGET: Final = """
DELETE FROM users
WHERE tenant = ?1 AND key_id = ?2 AND version = ?3 AND op = ?4 AND refused = ?5 AND token NOT IN (
    SELECT token FROM users
    WHERE tenant = ?1 AND key_id = ?2 AND version = ?3 AND op = ?4 AND refused = ?5
    ORDER BY last DESC, token LIMIT ?6
)
"""
_TOTALS_OF_KEY: Final = """
SELECT version, op, refused, token, first, last, count FROM totals WHERE tenant = ? AND key_id = ?
"""
_USERS_OF_KEY: Final = """
SELECT version, op, refused, token, first, last, count FROM users WHERE tenant = ? AND key_id = ?
"""


class Known(NamedTuple):
    """Up to where the log was read, and from when on it was."""

    place: Position
    since: int | None


NOTHING: Final = Known(START, None)


class UsageDatabase:
    """The writer's side. For one thread of one process, opened after the fork."""

    def __init__(self, path: Path) -> None:
        """Makes the file if it is missing, and anew if it is of another format. Raises sqlite3.Error
        (damaged: :func:`remove` it), OSError."""
        path.touch(mode=0o600)
        self._connection = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode=WAL")
        # After a power cut the file may be a little older, never torn; the log is read again from its place.
        self._connection.execute("PRAGMA synchronous=NORMAL")
        if not _is_ours(self._connection):
            raise sqlite3.DatabaseError("of another format")
        self.known = _known(self._connection)

    def add(self, uses: Mapping[UserOfKey, Uses], known: Known) -> None:
        """Adds what stands in the log up to ``known.place``, all or nothing. Raises sqlite3.Error."""
        totals: dict[tuple[str, str, int, str, bool], Uses] = {}
        # A later user of the same name comes later in the log.
        for user, one in sorted(uses.items(), key=lambda item: item[1].last):
            name = user[:5]
            if name in totals:
                totals[name].first = min(totals[name].first, one.first)
                totals[name].add(one)
            else:
                totals[name] = Uses(first=one.first, last=one.last, token=one.token, count=one.count)
        with self._transaction() as run:
            run.executemany(_ADD_TOTAL, [_row(name, one) for name, one in totals.items()])
            run.executemany(_ADD_USER, [_row(user[:5], one) for user, one in uses.items()])
            run.executemany(_FORGET, [(*name, KEPT_USERS) for name in totals])
            run.execute(
                "UPDATE place SET segment = ?, offset = ?, since = ?",
                (known.place.segment, known.place.offset, known.since),
            )
        self.known = known

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def remove(path: Path) -> None:
    """Removes the file with what belongs to it. Raises OSError."""
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)


def read_usage(path: Path, tenant: str, key_id: str) -> tuple[KeyUsage, Known]:
    """What the file says of one key, and up to where it knows the log. Nothing if there is no file yet.

    Raises sqlite3.Error."""
    if not path.exists():
        return KeyUsage(totals={}, users={}, since=None, complete=True), NOTHING
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    with closing(connection):
        connection.execute("BEGIN")  # one state for all that is read
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'place'").fetchone():
            return KeyUsage(totals={}, users={}, since=None, complete=True), NOTHING
        known = _known(connection)
        totals = {
            UseName(version, op, bool(refused)): _uses(token, *counts)
            for version, op, refused, token, *counts in connection.execute(_TOTALS_OF_KEY, (tenant, key_id))
        }
        users = {
            (UseName(version, op, bool(refused)), token): _uses(token, *counts)
            for version, op, refused, token, *counts in connection.execute(_USERS_OF_KEY, (tenant, key_id))
        }
    return KeyUsage(totals=totals, users=users, since=known.since, complete=True), known


def _is_ours(connection: sqlite3.Connection) -> bool:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        connection.executescript(_SCHEMA)
    elif tables != _TABLES:
        return False
    return connection.execute("SELECT format FROM place").fetchall() == [(FORMAT,)]


def _known(connection: sqlite3.Connection) -> Known:
    segment, offset, since = connection.execute("SELECT segment, offset, since FROM place").fetchone()
    return Known(Position(segment, offset), since)


def _row(name: tuple[str, str, int, str, bool], uses: Uses) -> tuple[object, ...]:
    return (*name, uses.token, uses.first, uses.last, uses.count)


def _uses(token: str, first: int, last: int, count: int) -> Uses:
    return Uses(first=first, last=last, token=token, count=count)


def needed_segment(path: Path) -> int:
    """The oldest segment of the audit log that was not read to its end; 0 if none was.

    Raises OSError: the file cannot be read."""
    try:
        return read_usage(path, "", "")[1].place.segment
    except sqlite3.Error as error:
        raise OSError(f"{path}: {error}") from None
