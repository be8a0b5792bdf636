"""Random histories of several processes on one store: no version does more than its limit ever allowed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ronkms.domain.key import Key
from ronkms.domain.key_policy import PolicyChange
from ronkms.errors import BackendUnavailable, KeyExhausted
from ronkms.journal import sealed_journal
from ronkms.service.journaling import Journaling
from ronkms.service.operation_budget import OperationBudget
from tests.fakes.audit import FakeAudit
from tests.fakes.bus import FakeBus
from tests.fakes.custody import FakeCustody
from tests.fakes.open_store import OpenStore

WORKERS = 3
LIMITS = st.sampled_from([1, 7, 250, 1000, 50_000])
NAME = ("acme", "k")


class Budgets(RuleBasedStateMachine):
    """``done`` counts by version. What is done is never more than the limit of the moment allows."""

    @initialize(limit=LIMITS)
    def start(self, limit: int) -> None:
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(sealed_journal, "_COMPACT_FACTOR", 1)
        self._patch.setattr(sealed_journal, "_COMPACT_SLACK", 2)
        self.directory = Path(tempfile.mkdtemp())
        self.custody = FakeCustody()
        self.bus = FakeBus()
        self.opened = OpenStore(self.directory / "keystore", custody=self.custody)
        self.opened.create("k")
        self.limit = limit
        self.opened.store.set_policy(*NAME, PolicyChange(max_operations=limit))
        self.done = {1: 0}
        self._fork()

    def teardown(self) -> None:
        self.opened.close()
        shutil.rmtree(self.directory)
        self._patch.undo()

    def _fork(self) -> None:
        self.workers = [self._worker() for _ in range(WORKERS)]

    def _worker(self) -> OperationBudget:
        journaling = Journaling(audit=FakeAudit(), bus=self.bus)
        return OperationBudget(store=self.opened.store, journaling=journaling)

    @property
    def _key(self) -> Key:
        return self.opened.store.get(*NAME)

    @rule(worker=st.integers(0, WORKERS - 1), count=st.sampled_from([1, 1, 2, 30, 400]))
    def use(self, worker: int, count: int) -> None:
        newest = self._key.newest_enabled()
        before = self.done[newest.number]
        try:
            taken = self.workers[worker].take(self._key, newest, count)
        except KeyExhausted:
            return
        assert 1 <= taken <= count
        self.done[newest.number] = before + taken
        assert self.done[newest.number] <= self.limit

    @rule(worker=st.integers(0, WORKERS - 1))
    def crash(self, worker: int) -> None:
        self.workers[worker] = self._worker()

    @rule()
    def restart(self) -> None:
        self.opened.close()
        self.opened = OpenStore(self.directory / "keystore", custody=self.custody)
        self._fork()

    @rule(worker=st.integers(0, WORKERS - 1))
    def disk_full(self, worker: int) -> None:
        newest = self._key.newest_enabled()

        def fail(*_: object) -> None:
            raise BackendUnavailable("disk")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.opened.store, "reserve", fail)
            try:
                self.done[newest.number] += self.workers[worker].take(self._key, newest)
            except (BackendUnavailable, KeyExhausted):
                return
        assert self.done[newest.number] <= self.limit

    @rule(limit=LIMITS)
    def change_limit(self, limit: int) -> None:
        self.opened.store.set_policy(*NAME, PolicyChange(max_operations=limit))
        self.limit = limit

    @rule()
    def rotate(self) -> None:
        self.opened.rotate("k")
        self.done[len(self.done) + 1] = 0

    @invariant()
    def what_is_done_was_reserved(self) -> None:
        for number, version in self._key.versions.items():
            assert self.done[number] <= version.reserved

    @rule()
    def all_is_given_out_in_the_end(self) -> None:
        """What no process holds can still be used, up to the last operation."""
        newest = self._key.newest_enabled()
        unreserved = max(0, self.limit - newest.reserved)
        held = sum(worker._left.get((*NAME, newest.number), 0) for worker in self.workers)
        usable = unreserved + (held if newest.reserved <= self.limit else 0)
        taken = 0
        for worker in self.workers:
            try:
                while True:
                    taken += worker.take(self._key, self._key.newest_enabled(), 5000)
            except KeyExhausted:
                continue
        assert taken == usable
        self.done[newest.number] += taken
        assert not taken or self.done[newest.number] <= self.limit


TestBudgets = Budgets.TestCase
TestBudgets.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
