"""Which public keys may have made a signature, each with the tag of its cached verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

from ronkms_native import Arena

from ronkms.domain.algorithm import ALGORITHMS, Algorithm, Usage
from ronkms.domain.key import Key, KeyVersion
from ronkms.domain.measure import POLICY
from ronkms.policy.pq import PqPolicy, VerifyMode
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

    __slots__ = ("digest", "given", "key", "mode", "signature", "tried", "untried", "used")

    def __init__(
        self,
        given: CryptoInput,
        digest: bytes,
        signature: bytes,
        mode: VerifyMode,
        key: Key | None,
        untried: Iterator[Candidate],
    ) -> None:
        self.given = given
        self.digest = digest
        """What identifies the input: SHA-256 of the message, or the other digest or mu itself."""
        self.signature = signature
        self.mode = mode
        self.key = key
        self.untried = untried
        self.tried: list[Candidate] = []
        self.used: CacheUse = "hit"
        """``hit`` as long as every verdict came from the cache."""


class Candidates:
    """Decides on a request and lists its candidates, newest first, without any cryptography."""

    def __init__(self, *, access: KeyAccess, policy: PqPolicy, arena: Arena, cache: VerdictCache) -> None:
        self._access = access
        self._policy = policy
        self._arena = arena
        self._cache = cache

    def of_key(
        self, call: Call, key_id: str, key_version: int | None, given: CryptoInput, signature: bytes
    ) -> Check:
        """The named version, or every enabled version whose algorithm takes the input.

        Raises BadRequest, TooLarge, Unauthenticated, Denied, NotFound, KeyDisabled, PqPolicyRejected,
        BackendUnavailable."""
        given.check_sizes()
        generation, mode = self._policy_now(call)
        digest = given.message_digest()
        call.input = digest or given.data
        key = self._access.find_usable(call, key_id, Usage.SIGN, digest)
        if key_version is None:
            newest = key.newest_enabled()
            versions = self._fitting(key, newest, given, mode)
            first = next(versions, None)
            if first is None:
                # None fits, so neither does the newest: this names the reason.
                self._require_fit(newest.alg, given, mode)
            else:
                versions = chain((first,), versions)
        else:
            version = key.enabled_version(key_version)
            self._require_fit(version.alg, given, mode)
            versions = iter((version,))
        sub_tag = partial(self._cache.sub_tag, call.tenant_bytes, mode, generation, key.epoch)
        suffix = _input_parts(given, call.input, signature)
        untried = (
            self._candidate(sub_tag, suffix, version.alg, version.public, version.number)
            for version in versions
        )
        return Check(given, call.input, signature, mode, key, untried)

    def of_inline(self, call: Call, alg: str, public: bytes, given: CryptoInput, signature: bytes) -> Check:
        """The public key that the request brings. Raises as :meth:`of_key`, but for the stored key."""
        given.check_sizes()
        generation, mode = self._policy_now(call)
        call.alg = alg
        digest = given.message_digest()
        call.input = digest or given.data
        self._access.require_any(call, alg, digest)
        self._require_fit(alg, given, mode)
        sub_tag = partial(self._cache.sub_tag, call.tenant_bytes, mode, generation, 0)
        candidate = self._candidate(sub_tag, _input_parts(given, call.input, signature), alg, public, 0)
        return Check(given, call.input, signature, mode, None, iter((candidate,)))

    def tag(self, candidate: Candidate, given: CryptoInput, digest: bytes, signature: bytes) -> bytes:
        """The tag of a candidate's verdict on another input of the same kind, format and context."""
        return self._cache.tag(candidate.sub_tag, _input_parts(given, digest, signature))

    def _policy_now(self, call: Call) -> tuple[int, VerifyMode]:
        # The generation first: a verdict under the newer mode then never gets the older generation's tag.
        generation = self._arena.generation(POLICY)
        return generation, self._policy.verify_mode(call.tenant)

    def _require_fit(self, alg: str, given: CryptoInput, mode: VerifyMode) -> None:
        row = ALGORITHMS[alg]
        given.require_fit(row)
        self._policy.require(mode, row)

    def _fitting(
        self, key: Key, newest: KeyVersion, given: CryptoInput, mode: VerifyMode
    ) -> Iterator[KeyVersion]:
        fits: dict[str, bool] = {}
        for number in range(newest.number, 0, -1):
            version = key.versions[number]
            if version.alg not in fits:
                row = ALGORITHMS[version.alg]
                fits[version.alg] = given.mismatch(row) is None and self._policy.allows(mode, row)
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
