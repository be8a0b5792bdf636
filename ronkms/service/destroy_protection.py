"""What stands against the destruction of a key: that it was used lately."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from msgspec import UNSET

from ronkms.domain.key import Key
from ronkms.domain.key_use import KeyUsage, UseName
from ronkms.errors import Conflict
from ronkms.service.results import DryRun, Use
from ronkms.usage.protocol import UsageReader

DAY: Final = 24 * 3600
SHOWN_USES: Final = 100
_ADVICE: Final = (
    "see destroy with dry_run, disable the key first (in stages, if you like), or repeat with force"
)


class DestroyProtection:
    """A key or version that was used, or asked for in vain, within ``days`` is destroyed only with force."""

    def __init__(self, *, usage: UsageReader, days: int) -> None:
        """``days``: 0 lets any key be destroyed."""
        self._usage = usage
        self._days = days

    def require_unused(self, key: Key, version: int | None, now: float) -> None:
        """``version`` None: the whole key; ``now``: Unix seconds.

        Raises Conflict (used lately, or that is not known), BackendUnavailable (the disk)."""
        if self._days:
            reason = self._reason(key, version, self._usage.of(key.tenant, key.key_id), now)
            if reason:
                raise Conflict(reason)

    def dry_run(self, key: Key, version: int | None, now: float, *, force: bool) -> DryRun:
        """What a destruction would meet. Raises BackendUnavailable (the disk)."""
        usage = self._usage.of(key.tenant, key.key_id)
        reason = "" if force or not self._days else self._reason(key, version, usage, now)
        fits = [
            (name, token, uses)
            for (name, token), uses in usage.users.items()
            if version in (None, name.version)
        ]
        fits.sort(key=lambda found: found[2].last, reverse=True)
        return DryRun(
            allowed=not reason,
            detail=reason or UNSET,
            usage_since=UNSET if usage.since is None else usage.since,
            usage_complete=usage.complete,
            uses=[
                Use(
                    op=name.op,
                    token=token,
                    first_at=uses.first,
                    last_at=uses.last,
                    count=uses.count,
                    key_version=name.version or UNSET,
                    refused=name.refused or UNSET,
                )
                for name, token, uses in fits[:SHOWN_USES]
            ],
        )

    def _reason(self, key: Key, version: int | None, usage: KeyUsage, now: float) -> str:
        """Empty if nothing stands against it."""
        named = f"key {key.key_id}" if version is None else f"key {key.key_id} version {version}"
        last = usage.last(version)
        if last is not None and last[1].last > now - self._days * DAY:
            name, uses = last
            when = datetime.fromtimestamp(uses.last, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            return f"{named} was {_described(name)} at {when}, by token {uses.token}; {_ADVICE}"
        if not usage.complete:
            return f"the last uses of {named} are not known yet; repeat in a minute, or with force"
        begin = max(now - self._days * DAY, key.created_at)
        if usage.since is None or usage.since > begin:
            # An older log was archived or taken away.
            return f"uses of {named} are known for less than {self._days} days; repeat later, or with force"
        return ""


def _described(name: UseName) -> str:
    asked = "asked for in vain" if name.refused else "used"
    return f"{asked} ({name.op}, version {name.version})" if name.version else f"{asked} ({name.op})"
