"""Which public keys may have made a signature, each with the tag of its cached verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

from ronkms_native import Arena

from ronkms.domain.algorithm import ALGORITHMS, Algorithm, Usage
from ronkms.domain.key import Key, KeyVersion
from ronkms.domain.measure import POLICY
from ronkms.policy.decision import Decision, Policy
from ronkms.service.call import Call
from ronkms.service.crypto_input import CryptoInput
from ronkms.service.key_access import KeyAccess
from ronkms.service.results import CacheUse
from ronkms.service.verdict_cache import VerdictCache


class Candidate:
    """One public key, and its verdicts once they are known."""

    __slots__ = ("number", "public", "row", "sub_tag", "tag", "verdicts")

    def __init__(self, row: Algorithm, public: bytes, number: int, sub_tag: bytes, tag: bytes) -> None:
        self.row = row
        self.public = public
        self.number = number
        """Key version; 0 for an inline key."""
        self.sub_tag = sub_tag
        self.tag = tag
        self.verdicts: tuple[bool, ...] = ()

    def again(self, tag: bytes) -> Candidate:
        """The same public key for another input, whose tag that is."""
        return Candidate(self.row, self.public, self.number, self.sub_tag, tag)


class Check:
    """One verification under way: what was decided, and the candidates tried so far."""

    __slots__ = ("decision", "digest", "given", "key", "signature", "tried", "untried", "used")

    def __init__(
        self,
        given: CryptoInput,
        digest: bytes,
        signature: bytes,
        decision: Decision,
        key: Key | None,
        untried: Iterator[Candidate],
    ) -> None:
        self.given = given
        self.digest = digest
        """What identifies the input: SHA-256 of the message, or the other digest or mu itself."""
        self.signature = signature
        self.decision = decision
        self.key = key
        self.untried = untried
        self.tried: list[Candidate] = []
        self.used: CacheUse = "hit"
        """``hit`` as long as every verdict came from the cache."""


class Candidates:
    """Decides on a request and lists its candidates, newest first, without any cryptography."""

    def __init__(self, *, access: KeyAccess, policy: Policy, arena: Arena, cache: VerdictCache) -> None:
        self._access = access
        self._policy = policy
        self._arena = arena
        self._cache = cache

    def of_key(
        self, call: Call, key_id: str, key_version: int | None, given: CryptoInput, signature: bytes
    ) -> Check:
        """The named version, or every enabled version whose algorithm takes the input.

        Raises BadRequest, TooLarge, Unauthenticated, Denied, PolicyUnavailable, NotFound, KeyDisabled,
        PqPolicyRejected, BackendUnavailable."""
        given.check_sizes()
        generation, decision = self._policy_now(call, key_id)
        digest = given.message_digest()
        call.input = digest or given.data
        key = self._access.find_usable(call, key_id, Usage.SIGN, digest)
        if key_version is None:
            newest = key.newest_enabled()
            versions = self._fitting(key, newest, given, decision)
            first = next(versions, None)
            if first is None:
                # None fits, so neither does the newest: this names the reason.
                self._require_fit(newest.alg, given, decision)
            else:
                versions = chain((first,), versions)
        else:
            version = key.enabled_version(key_version)
            self._require_fit(version.alg, given, decision)
            versions = iter((version,))
        sub_tag = partial(self._cache.sub_tag, call.tenant_bytes, decision.mode, generation, key.epoch)
        suffix = _input_parts(given, call.input, signature)
        untried = (
            self._candidate(sub_tag, suffix, version.alg, version.public, version.number)
            for version in versions
        )
        return Check(given, call.input, signature, decision, key, untried)

    def of_inline(self, call: Call, alg: str, public: bytes, given: CryptoInput, signature: bytes) -> Check:
        """The public key that the request brings. Raises as :meth:`of_key`, but for the stored key."""
        given.check_sizes()
        generation, decision = self._policy_now(call)
        call.alg = alg
        digest = given.message_digest()
        call.input = digest or given.data
        self._access.require_any(call, alg, digest)
        self._require_fit(alg, given, decision)
        sub_tag = partial(self._cache.sub_tag, call.tenant_bytes, decision.mode, generation, 0)
        candidate = self._candidate(sub_tag, _input_parts(given, call.input, signature), alg, public, 0)
        return Check(given, call.input, signature, decision, None, iter((candidate,)))

    def tag(self, candidate: Candidate, given: CryptoInput, digest: bytes, signature: bytes) -> bytes:
        """The tag of a candidate's verdict on another input of the same kind, format and context."""
        return self._cache.tag(candidate.sub_tag, _input_parts(given, digest, signature))

    def _policy_now(self, call: Call, key_id: str = "") -> tuple[int, Decision]:
        # The generation first: an older policy's verdict then never gets the newer generation's tag.
        generation = self._arena.generation(POLICY)
        return generation, self._policy.decide(call.tenant, key_id)

    def _require_fit(self, alg: str, given: CryptoInput, decision: Decision) -> None:
        row = ALGORITHMS[alg]
        given.require_fit(row)
        decision.accept.require(row)

    def _fitting(
        self, key: Key, newest: KeyVersion, given: CryptoInput, decision: Decision
    ) -> Iterator[KeyVersion]:
        fits: dict[str, bool] = {}
        for number in range(newest.number, 0, -1):
            version = key.versions[number]
            if version.alg not in fits:
                row = ALGORITHMS[version.alg]
                fits[version.alg] = given.mismatch(row) is None and decision.accept.allows(row)
            if fits[version.alg] and key.is_usable(number):
                yield version

    def _candidate(
        self,
        sub_tag: Callable[[str, bytes, int], bytes],
        suffix: list[bytes],
        alg: str,
        public: bytes,
        number: int,
    ) -> Candidate:
        made = sub_tag(alg, public, number)
        return Candidate(ALGORITHMS[alg], public, number, made, self._cache.tag(made, suffix))


def _input_parts(given: CryptoInput, digest: bytes, signature: bytes) -> list[bytes]:
    return [given.kind.encode(), given.signature_format.encode(), given.context, digest, signature]
