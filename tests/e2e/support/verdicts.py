"""Sends verification cases through the HTTP API and compares the verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.e2e.known_answers.case import VerifyCase
from tests.e2e.support.api_client import ApiClient

REFUSED = "refused"


def verdicts(api: ApiClient, cases: Iterable[VerifyCase]) -> dict[str, bool | str]:
    """By case name: the verdict, or ``refused`` where the item was a 400 ``bad_request``."""
    listed = list(cases)
    results = api.batch("/v1/kms/verify", [case.item() for case in listed])
    return {case.name: _verdict(result) for case, result in zip(listed, results, strict=True)}


def _verdict(result: Mapping[str, Any]) -> bool | str:
    if result["status"] == 200:
        valid: bool = result["result"]["valid"]
        assert result["result"]["conformant"] == valid
        return valid
    error: dict[str, str] = result["error"]
    assert (result["status"], error["code"]) == (400, "bad_request"), result
    return REFUSED


def check(
    api: ApiClient,
    cases: Iterable[VerifyCase],
    counts: tuple[int, int],
    refused: Mapping[str, str] | None = None,
) -> None:
    """Every case gets the verdict of its vectors, and there are exactly ``counts`` (valid, invalid) cases.

    ``refused`` names the cases that are a 400 instead of ``valid: false``, each with the reason.
    """
    listed = list(cases)
    names = [case.name for case in listed]
    assert len(set(names)) == len(names)
    valid = sum(case.valid for case in listed)
    assert (valid, len(listed) - valid) == counts
    exceptions = dict.fromkeys(refused or {}, REFUSED)
    expected = {case.name: exceptions.pop(case.name, case.valid) for case in listed}
    assert not exceptions, f"no such cases: {sorted(exceptions)}"
    got = verdicts(api, listed)
    assert {name: got[name] for name in got if got[name] != expected[name]} == {}
