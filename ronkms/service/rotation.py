"""The chore that rotates keys by their policy. Runs in one process, never on behalf of a caller."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import structlog

from ronkms.domain.key import Key
from ronkms.errors import AuditUnavailable, BackendUnavailable, Conflict, KmsError, RequestError
from ronkms.policy.decision import Policy
from ronkms.service.automatic_versions import AutomaticVersions
from ronkms.service.journaling import Journaling
from ronkms.service.lifecycle import rotated_alg
from ronkms.store.protocol import KeyStore

PRINCIPAL: Final = "system:rotation"

FIRST_WAIT_SECONDS: Final = 5
"""Before the second attempt; each further wait is twice as long."""
LAST_WAIT_SECONDS: Final = 3600

_log = structlog.get_logger("ronkms.service")


class _Attempts(NamedTuple):
    """Of a key whose rotation is due and was not done. Times are Unix seconds."""

    tries: int
    began: int
    """The latest."""
    next_at: int
    told: bool
    """It is a failure, not just a change by someone else."""


class Rotation:
    """Makes the next version of keys whose newest version is as old as their rotation period, or has nearly
    used up its ``max_operations``.

    The age counts from the newest version, whoever made it: after a downtime of many periods a key is
    rotated once. Keys that are disabled, expired or imported are left alone, and so are damaged ones, since a
    new version would hide that the record which signs is lost."""

    def __init__(
        self,
        *,
        store: KeyStore,
        versions: AutomaticVersions,
        policy: Policy,
        journaling: Journaling,
        on_failed: Callable[[], object],
        on_failing: Callable[[int], object],
    ) -> None:
        """``on_failed`` is called for each rotation that was due and not done; ``on_failing``, after each
        turn, with the number of keys that wait for another attempt."""
        self._store = store
        self._versions = versions
        self._policy = policy
        self._journaling = journaling
        self._on_failed = on_failed
        self._on_failing = on_failing
        self._attempts: dict[tuple[str, str], _Attempts] = {}

    def rotate_due(self, now: int) -> int:
        """Rotates what was due at ``now`` (Unix seconds); returns how many keys.

        One that cannot be rotated is recorded as an error and tried again after 5 s, then 10 s, and so on up
        to an hour. Raises AuditUnavailable: nothing is rotated then."""
        self._store.catch_up()
        due = self._store.due_for_rotation(now)
        names = {(key.tenant, key.key_id) for key in due}
        self._attempts = {name: each for name, each in self._attempts.items() if name in names}
        done = sum(self._rotate(key, now) for key in due if self._may_try(key, now))
        self._on_failing(sum(each.told for each in self._attempts.values()))
        return done

    def _may_try(self, key: Key, now: int) -> bool:
        attempts = self._attempts.get((key.tenant, key.key_id))
        # A clock that was set back must not put it off for longer.
        return attempts is None or not attempts.began <= now < attempts.next_at

    def _rotate(self, key: Key, now: int) -> bool:
        try:
            if key.damaged is not None:
                raise BackendUnavailable(
                    f"record {key.damaged} is damaged: restore it from a backup, or rotate the key by hand"
                )
            self._versions.add(
                key,
                rotated_alg(key, self._policy.decide(key.tenant, key.key_id)),
                principal=PRINCIPAL,
                detail=f"rotation_period_seconds={key.policy.rotation_period_seconds}",
                condition=partial(_require_due, len(key.versions), now),
            )
        except AuditUnavailable:
            raise
        except KmsError as error:
            self._failed(key, now, error)
            return False
        self._attempts.pop((key.tenant, key.key_id), None)
        return True

    def _failed(self, key: Key, now: int, error: KmsError) -> None:
        name = key.tenant, key.key_id
        count = self._attempts[name].tries + 1 if name in self._attempts else 1
        # Refused once: someone rotated, disabled or changed it since the list was made.
        told = count > 1 or not isinstance(error, RequestError)
        wait = min(FIRST_WAIT_SECONDS << min(count - 1, 20), LAST_WAIT_SECONDS)
        self._attempts[name] = _Attempts(count, now, now + wait, told)
        if told:
            self._on_failed()
            self._journaling.rotation_failed(key, error.code, count, wait)
            _log.error(
                "rotation_failed",
                tenant=key.tenant,
                key_id=key.key_id,
                error=str(error),
                attempts=count,
                next_in_seconds=wait,
            )


def _require_due(newest: int, now: int, key: Key) -> None:
    if len(key.versions) != newest or not key.rotation_due(now):
        raise Conflict(f"the rotation of {key.key_id} is not due any more")
