"""Random histories, with restarts in between, against a dict."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from ronkms.domain.key import KeyState
from ronkms.domain.key_policy import KeyPolicy, PolicyChange
from ronkms.domain.lifecycle import TRANSITIONS
from ronkms.errors import BadRequest, Conflict, KeyDisabled
from ronkms.journal import sealed_journal
from tests.fakes.custody import FakeCustody
from tests.fakes.open_store import OpenStore

TENANTS = ("acme", "beta")
KEY_IDS = ("a", "b", "c.d")
DESTROY_AT = 1_000
POLICY_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "not_before": st.none() | st.integers(0, 3),
        "not_after": st.none() | st.integers(0, 3),
        "min_version": st.integers(1, 3),
        "rotation_period_seconds": st.none() | st.just(3600),
        "algs": st.none() | st.just(("Ed25519", "ES256")),
        "prehashed": st.booleans(),
    },
).map(lambda fields: PolicyChange(**fields))


@dataclass
class ModelKey:
    """What a key should be."""

    state: KeyState = KeyState.ENABLED
    versions: list[KeyState] = field(default_factory=lambda: [KeyState.ENABLED])
    epoch: int = 0
    percent: int = 0
    """What it refuses, disabled in stages."""
    policy: KeyPolicy = field(default_factory=KeyPolicy)


class Histories(RuleBasedStateMachine):
    """Compacts often, so that histories go through compactions too."""

    names = Bundle("names")

    @initialize()
    def start(self) -> None:
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(sealed_journal, "_COMPACT_FACTOR", 1)
        self._patch.setattr(sealed_journal, "_COMPACT_SLACK", 2)
        self.directory = Path(tempfile.mkdtemp())
        self.custody = FakeCustody()
        self.opened = OpenStore(self.directory / "keystore", custody=self.custody)
        self.model: dict[tuple[str, str], ModelKey] = {}

    def teardown(self) -> None:
        self.opened.close()
        shutil.rmtree(self.directory)
        self._patch.undo()

    @rule(target=names, tenant=st.sampled_from(TENANTS), key_id=st.sampled_from(KEY_IDS))
    def create(self, tenant: str, key_id: str) -> tuple[str, str]:
        if (tenant, key_id) in self.model:
            with pytest.raises(Conflict):
                self.opened.create(key_id, tenant=tenant)
        else:
            key = self.opened.create(key_id, tenant=tenant)
            self.model[tenant, key_id] = ModelKey(epoch=key.epoch)
        return tenant, key_id

    @rule(name=names)
    def rotate(self, name: tuple[str, str]) -> None:
        key = self.model[name]
        if key.state is not KeyState.ENABLED:
            with pytest.raises(KeyDisabled):
                self.opened.rotate(name[1], tenant=name[0])
            return
        self.opened.rotate(name[1], tenant=name[0])
        key.versions.append(KeyState.ENABLED)
        self._grew(name)

    @rule(
        name=names,
        number=st.none() | st.integers(1, 3),
        new=st.sampled_from([KeyState.ENABLED, KeyState.DISABLED, KeyState.DESTROY_SCHEDULED]),
    )
    def set_state(self, name: tuple[str, str], number: int | None, new: KeyState) -> None:
        key = self.model[name]
        if number is not None and number > len(key.versions):
            return
        old = key.state if number is None else key.versions[number - 1]
        destroy_at = DESTROY_AT if new is KeyState.DESTROY_SCHEDULED else None

        def change() -> None:
            self.opened.store.set_state(*name, new, version=number, destroy_at=destroy_at)

        if new is old and number is None and key.percent:
            change()
            key.percent = 0
            self._grew(name)
        elif new is old:
            change()
        elif new in TRANSITIONS[old]:
            change()
            if number is None:
                key.state, key.percent = new, 0
            else:
                key.versions[number - 1] = new
            self._grew(name)
        else:
            with pytest.raises(Conflict):
                change()

    @rule(name=names, number=st.none() | st.integers(1, 3))
    def destroy(self, name: tuple[str, str], number: int | None) -> None:
        key = self.model[name]
        if number is not None and number > len(key.versions):
            return
        old = key.state if number is None else key.versions[number - 1]
        if old not in (KeyState.DESTROY_SCHEDULED, KeyState.DESTROYED):
            with pytest.raises(Conflict):
                self.opened.store.destroy(*name, version=number)
            return
        self.opened.store.destroy(*name, version=number)
        if number is None:
            key.state, key.percent = KeyState.DESTROYED, 0
            key.versions = [KeyState.DESTROYED] * len(key.versions)
        else:
            key.versions[number - 1] = KeyState.DESTROYED
        if old is not KeyState.DESTROYED:
            self._grew(name)

    @rule(name=names, percent=st.integers(1, 3))
    def stage_disable(self, name: tuple[str, str], percent: int) -> None:
        key = self.model[name]
        if key.state is not KeyState.ENABLED or percent < key.percent:
            with pytest.raises(Conflict):
                self.opened.store.stage_disable(*name, percent, 0)
            return
        self.opened.store.stage_disable(*name, percent, 0)
        key.percent = percent
        self._grew(name)

    @rule(name=names, change=POLICY_CHANGES)
    def set_policy(self, name: tuple[str, str], change: PolicyChange) -> None:
        key = self.model[name]
        wanted = change.applied(key.policy)
        if key.state is KeyState.DESTROYED:
            with pytest.raises(Conflict):
                self.opened.store.set_policy(*name, change)
            return
        ordered = None in (wanted.not_before, wanted.not_after) or wanted.not_before < wanted.not_after
        if not ordered or wanted.min_version > len(key.versions):
            with pytest.raises(BadRequest):
                self.opened.store.set_policy(*name, change)
            return
        self.opened.store.set_policy(*name, change)
        if wanted != key.policy:
            key.policy = wanted
            self._grew(name)

    @rule()
    def restart(self) -> None:
        self.opened.close()
        self.opened = OpenStore(self.directory / "keystore", custody=self.custody)
        assert self.opened.store.damaged() == []
        for name, key in self.model.items():
            key.epoch = self.opened.store.get(*name).epoch

    def _grew(self, name: tuple[str, str]) -> None:
        epoch = self.opened.store.get(*name).epoch
        assert epoch > self.model[name].epoch
        self.model[name].epoch = epoch

    @invariant()
    def the_store_is_the_model(self) -> None:
        store = self.opened.store
        for tenant in TENANTS:
            listed = [key.key_id for key in store.page(tenant)]
            assert listed == sorted(key_id for owner, key_id in self.model if owner == tenant)
        due: list[tuple[str, str, int | None]] = []
        for name, key in self.model.items():
            found = store.get(*name)
            assert found.state is key.state
            assert found.policy == key.policy
            assert (0 if found.staged is None else found.staged.percent) == key.percent
            assert [version.state for version in found.versions.values()] == key.versions
            assert list(found.versions) == list(range(1, len(key.versions) + 1))
            assert found.epoch == key.epoch
            for number, version in found.versions.items():
                if version.state is KeyState.DESTROYED:
                    assert not self.opened.record_path(name[1], number, name[0]).exists()
                else:
                    assert sha256(store.record(*name, number)).digest() == version.record_digest
            due += [(*name, None)] * (key.state is KeyState.DESTROY_SCHEDULED)
            due += [
                (*name, number)
                for number, state in enumerate(key.versions, 1)
                if state is KeyState.DESTROY_SCHEDULED
            ]
        assert sorted(store.due_for_destruction(DESTROY_AT), key=str) == sorted(due, key=str)
        assert store.due_for_destruction(DESTROY_AT - 1) == []


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
