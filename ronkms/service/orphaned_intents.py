"""While the server runs: ends the intents that a process left which died, as the next start would.

The order makes it safe beside processes that go on changing keys. A process is known to be dead after its
intents were read, so nothing of its own can follow. The store is read after that, and the log once more
after the store: whatever the store shows that a living process has done, the log shows at least its intent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection

from ronkms.audit.intents import IntentLedger
from ronkms.service.recovery import Recovery
from ronkms.service.recovery_verdict import Verdict
from ronkms.store.protocol import KeyStore


def end_orphans(
    ledger: IntentLedger,
    *,
    store: KeyStore,
    running: Callable[[], Collection[int]],
    recovery: Callable[[], Recovery],
) -> Counter[Verdict]:
    """Gives an outcome to each open intent whose process is not ``running``; how many of each verdict.

    ``recovery`` is asked for after the store is settled. No admin operation may run meanwhile. Raises
    AuditUnavailable, BackendUnavailable, IntegrityError, OSError: the rest waits for the next turn."""
    writers = {intent.pid for intent in ledger.open}
    if not writers:
        return Counter()
    dead = writers.difference(running())
    if not dead:
        return Counter()
    store.settle()
    judge = recovery()
    ledger.read_on()
    return judge.recover(ledger.open, ledger.done, dead)
