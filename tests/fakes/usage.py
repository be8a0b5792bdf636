"""Uses of keys that a test makes up."""

from __future__ import annotations

from ronkms.domain.key_use import KeyUsage, UseName, Uses
from ronkms.errors import BackendUnavailable


class FakeUsage:
    """``uses`` by (tenant, key id); ``complete`` and ``broken`` are what a test sets."""

    def __init__(self) -> None:
        self.uses: dict[tuple[str, str], dict[tuple[UseName, str], Uses]] = {}
        self.complete = True
        self.broken = False
        self.since: int | None = 1

    def used(
        self,
        key_id: str,
        at: int,
        *,
        version: int = 1,
        op: str = "sign",
        token: str = "t1",
        refused: bool = False,
    ) -> None:
        """Adds a use of a key of the tenant ``default``."""
        name = (UseName(version, op, refused), token)
        self.uses.setdefault(("default", key_id), {})[name] = Uses(first=at, last=at, token=token, count=1)

    def of(self, tenant: str, key_id: str) -> KeyUsage:
        if self.broken:
            raise BackendUnavailable("the uses of keys cannot be read")
        users = self.uses.get((tenant, key_id), {})
        totals: dict[UseName, Uses] = {}
        for (name, _), uses in users.items():
            if name not in totals or totals[name].last <= uses.last:
                totals[name] = uses
        return KeyUsage(totals=totals, users=users, since=self.since, complete=self.complete)
