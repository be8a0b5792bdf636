"""The chore that rotates keys by their policy. Runs in one process, never on behalf of a caller."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from ronkms.domain.key import Key
from ronkms.errors import AuditUnavailable, Conflict, KmsError, RequestError
from ronkms.policy.decision import Policy
from ronkms.service.automatic_versions import AutomaticVersions
from ronkms.service.lifecycle import rotated_alg
from ronkms.store.protocol import KeyStore

PRINCIPAL: Final = "system:rotation"

_log = structlog.get_logger("ronkms.service")


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
        on_failed: Callable[[], object],
    ) -> None:
        """``on_failed`` is called for each rotation that was due and not done."""
        self._store = store
        self._versions = versions
        self._policy = policy
        self._on_failed = on_failed
        self._told: set[str] = set()
        """Damaged records that the log names already."""

    def rotate_due(self, now: int) -> int:
        """Rotates what was due at ``now`` (Unix seconds); returns how many keys.

        One that cannot be rotated is recorded as an error and tried again the next time. Raises
        AuditUnavailable: nothing is rotated then."""
        self._store.catch_up()
        done = 0
        for key in self._store.due_for_rotation(now):
            if key.damaged is None:
                done += self._rotate(key, now)
            elif key.damaged not in self._told:
                self._told.add(key.damaged)
                self._on_failed()
                _log.error(
                    "rotation_skipped",
                    record=key.damaged,
                    advice="the record is damaged: restore it from a backup, or rotate the key by hand",
                )
        return done

    def _rotate(self, key: Key, now: int) -> bool:
        try:
            self._versions.add(
                key,
                rotated_alg(key, self._policy.decide(key.tenant, key.key_id)),
                principal=PRINCIPAL,
                detail=f"rotation_period_seconds={key.policy.rotation_period_seconds}",
                condition=partial(_require_due, len(key.versions), now),
            )
        except AuditUnavailable:
            raise
        except RequestError:
            # Someone rotated, disabled or changed it since the list was made.
            return False
        except KmsError as error:
            self._on_failed()
            _log.error("rotation_failed", tenant=key.tenant, key_id=key.key_id, error=str(error))
            return False
        return True


def _require_due(newest: int, now: int, key: Key) -> None:
    if len(key.versions) != newest or not key.rotation_due(now):
        raise Conflict(f"the rotation of {key.key_id} is not due any more")
