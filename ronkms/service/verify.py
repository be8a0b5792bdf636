"""Verification by a stored key or an inline public key, through the shared verdict cache."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import Final

from ronkms_native import Arena, KeyMaterialError, PublicKey, verify_batch

from ronkms.domain.operation import Outcome
from ronkms.errors import BadRequest
from ronkms.policy.decision import Policy
from ronkms.service.admission import Gate
from ronkms.service.call import Call
from ronkms.service.crypto_input import CryptoInput
from ronkms.service.key_access import KeyAccess
from ronkms.service.results import Verification
from ronkms.service.verdict_cache import VerdictCache
from ronkms.service.verify_candidates import Candidate, Candidates, Check

CHUNK: Final = 64
"""How many older versions are tried at once, and how many of them count for the permit."""

PARSED_KEYS: Final = 512
"""Parsed public keys kept in each worker; an ML-DSA-87 one holds its expanded matrix, some 60 KB."""

_parse = lru_cache(maxsize=PARSED_KEYS)(PublicKey)


class Verifying:
    """Cached verdicts are looked up first; only misses cost cryptography."""

    def __init__(self, *, gate: Gate, access: KeyAccess, policy: Policy, arena: Arena) -> None:
        self._gate = gate
        self._access = access
        self.cache = VerdictCache(arena)
        self.candidates = Candidates(access=access, policy=policy, arena=arena, cache=self.cache)

    def verify(self, call: Call, check: Check) -> Verification:
        """Answers a check that :class:`Candidates` made.

        Raises KeyDisabled (disabled meanwhile), BadRequest (unacceptable inline key), Saturated,
        TenantOverShare."""
        misses = self.advance(check, 1, claim=True)
        if misses:
            try:
                call.missed = True
                self._gate.top_up(call, self.cost(check))
                self.compute(check, misses[0])
            except BaseException:
                self.cache.abandon(misses[0].tag)
                raise
        result = self.conclude(check)
        call.alg, call.key_version = result.alg, result.key_version or 0
        if not result.valid:
            call.outcome = Outcome.INVALID
        return result

    def advance(self, check: Check, count: int, *, claim: bool = False) -> list[Candidate]:
        """Takes the next ``count`` candidates; returns those that the cache has no verdict for. With
        ``claim`` the caller must end the claim of each one returned."""
        look_up = self.cache.claim if claim else self.cache.get
        taken = list(islice(check.untried, count))
        check.tried += taken
        misses = []
        for candidate in taken:
            verdicts, stale = look_up(candidate.tag, len(candidate.row.components))
            if verdicts is not None:
                candidate.verdicts = verdicts
                continue
            misses.append(candidate)
            if check.used != "stale":
                check.used = "stale" if stale else "miss"
        return misses

    def compute_plain(
        self, work: list[tuple[CryptoInput, bytes, Candidate]], *, background: bool = False
    ) -> None:
        """The cryptography for many plain inputs, each with its signature, at once, spread over all cores.

        Candidates of one tag are computed once."""
        once = {candidate.tag: (given, signature, candidate) for given, signature, candidate in work}
        found = verify_batch(
            [
                (self.public_key(candidate), given.data, signature, given.context)
                for given, signature, candidate in once.values()
            ],
            background=background,
        )
        verdicts = dict(zip(once, found, strict=True))
        for tag, made in verdicts.items():
            self.cache.put(tag, made)
        for _, _, candidate in work:
            candidate.verdicts = verdicts[candidate.tag]

    def conclude(self, check: Check) -> Verification:
        """Tries the candidates that are left, then answers. Raises KeyDisabled, BadRequest."""
        found = self._accepted(check)
        while found is None and (misses := self._next_chunk(check)) is not None:
            if check.given.plain:
                self.compute_plain([(check.given, check.signature, candidate) for candidate in misses])
            else:
                for candidate in misses:
                    self.compute(check, candidate)
            found = self._accepted(check)
        named = found or check.tried[0]
        if check.key is not None:
            self._access.recheck(check.key, named.number)
        return Verification(
            valid=found is not None,
            alg=named.row.name,
            key_version=named.number or None,
            mode=check.decision.mode.value,
            components=dict(zip(named.row.components, named.verdicts, strict=True)),
            conformant=all(named.verdicts),
            cache=check.used,
        )

    def cost(self, check: Check) -> int:
        """Units for the cryptography that a check may need, of which only the newest was looked up."""
        versions = 1 if check.key is None else len(check.key.versions)
        return check.tried[0].row.cost_public * min(CHUNK, versions)

    def public_key(self, candidate: Candidate) -> PublicKey:
        """Parsed and validated. Raises BadRequest for an unacceptable inline key."""
        try:
            return _parse(candidate.row.name, candidate.public)
        except KeyMaterialError as error:
            raise BadRequest(
                f"public_key is no acceptable {candidate.row.name} key: {error}", field="/public_key"
            ) from None

    def _next_chunk(self, check: Check) -> list[Candidate] | None:
        before = len(check.tried)
        misses = self.advance(check, CHUNK)
        return misses if len(check.tried) > before else None

    def compute(self, check: Check, candidate: Candidate) -> None:
        """The cryptography for one candidate. Raises BadRequest for an unacceptable inline key."""
        given = check.given
        verdicts = self.public_key(candidate).verify(
            given.data, check.signature, context=given.context, input_kind=given.kind, p1363=given.p1363
        )
        candidate.verdicts = verdicts
        self.cache.put(candidate.tag, verdicts)

    def accepts(self, check: Check, candidate: Candidate) -> bool:
        """Whether the candidate's verdicts make the signature valid in the check's mode."""
        return check.decision.accept.accepts(candidate.row, candidate.verdicts)

    def _accepted(self, check: Check) -> Candidate | None:
        for candidate in check.tried:
            if self.accepts(check, candidate):
                return candidate
        return None
