"""One accept set for Ed25519: the edge cases of ``docs/INTEROP.md``, single, in a batch and cached."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.e2e.known_answers.case import VerifyCase, okp
from tests.e2e.known_answers.ed25519_edges import Edge, edges
from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.verdicts import REFUSED, verdicts

EDGES = {edge.name: edge for edge in edges()}


def case(edge: Edge) -> VerifyCase:
    return VerifyCase(edge.name, okp(edge.public), edge.message, edge.signature, valid=edge.ron_kms)


def expected(edge: Edge) -> bool | str:
    return edge.ron_kms if edge.public_is_taken else REFUSED


def test_in_a_batch(api: ApiClient) -> None:
    assert len(EDGES) == 16
    got = verdicts(api, map(case, EDGES.values()))
    assert got == {name: expected(edge) for name, edge in EDGES.items()}


@pytest.mark.parametrize("name", EDGES)
def test_single_and_cached(api: ApiClient, name: str) -> None:
    """Twice the same request: the second verdict may come from the cache and must not differ."""
    edge = EDGES[name]
    for _ in range(2):
        answer = api.post("/v1/kms/verify", case(edge).item())
        if edge.public_is_taken:
            assert (answer.status, answer.body["valid"]) == (200, edge.ron_kms)
        else:
            assert (answer.status, answer.body["code"]) == (400, "bad_request")


@pytest.mark.parametrize("name", EDGES)
def test_the_cofactorless_column_is_what_openssl_says(name: str) -> None:
    edge = EDGES[name]
    try:
        Ed25519PublicKey.from_public_bytes(edge.public).verify(edge.signature, edge.message)
        accepted = True
    except InvalidSignature:
        accepted = False
    assert accepted is edge.cofactorless


def test_the_table_in_the_documentation() -> None:
    """Each row of ``docs/INTEROP.md`` is what the rules say."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "INTEROP.md").read_text()
    for edge in EDGES.values():
        ours = ("valid" if edge.ron_kms else "invalid") if edge.public_is_taken else "400"
        others = (
            "valid" if verdict else "invalid" for verdict in (edge.cofactorless, edge.strict, edge.zip215)
        )
        assert f"| {edge.name} | {ours} | {' | '.join(others)} |" in text
