"""Composite keys over their life, and that no verify mode takes half of a signature cut or joined wrongly."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from ronkms.domain.algorithm import ALGORITHMS
from tests.e2e.known_answers.case import b64
from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.composite_reference import COMPOSITES
from tests.server_process import ServerProcess

MESSAGE = b"message"


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiClient]:
    """A server where one good component is enough."""
    env = {"KMS_PQ_VERIFY_MODE": "or"}
    with ServerProcess(tmp_path_factory.mktemp("or") / "data", env=env) as server:
        client = ApiClient(server.api_url, server.token)
        yield client
        client.close()


@pytest.mark.parametrize("alg", COMPOSITES)
def test_rotation_batches_and_jwks(api: ApiClient, alg: str) -> None:
    key_id = f"life-{alg.lower()}"
    api.ok("/v1/kms/keys", {"key_id": key_id, "alg": alg, "usage": "sign"})
    messages = [{"key_id": key_id, "message": b64(b"%d" % number)} for number in range(20)]
    first = [answer["result"]["signature"] for answer in api.batch("/v1/kms/sign", messages)]
    api.ok("/v1/kms/keys/rotate", {"key_id": key_id})
    second = [answer["result"]["signature"] for answer in api.batch("/v1/kms/sign", messages)]
    for signatures, version in ((first, 1), (second, 2)):
        pairs = zip(messages, signatures, strict=True)
        answers = api.batch("/v1/kms/verify", [message | {"signature": one} for message, one in pairs])
        results = [answer["result"] for answer in answers]
        assert {(result["valid"], result["key_version"]) for result in results} == {(True, version)}
    swapped = zip(messages, [*first[1:], first[0]], strict=True)
    answers = api.batch("/v1/kms/verify", [message | {"signature": one} for message, one in swapped])
    assert {answer["result"]["valid"] for answer in answers} == {False}
    keys = api.get("/v1/kms/jwks?limit=1000").body["keys"]
    assert {row["key_version"] for row in keys if row["key_id"] == key_id} == {1, 2}


@pytest.mark.parametrize("alg", COMPOSITES)
def test_one_component_counts_only_in_a_whole_signature(lenient: ApiClient, alg: str) -> None:
    key_id = f"or-{alg.lower()}"
    lenient.ok("/v1/kms/keys", {"key_id": key_id, "alg": alg, "usage": "sign"})
    request = {"key_id": key_id, "message": b64(MESSAGE)}
    good = base64.b64decode(lenient.ok("/v1/kms/sign", request)["signature"])
    other = base64.b64decode(lenient.ok("/v1/kms/sign", request | {"message": b64(b"other")})["signature"])
    split = COMPOSITES[alg].mldsa_signature
    names = ALGORITHMS[alg].components

    def verify(signature: bytes) -> tuple[bool, list[bool]]:
        answers = [lenient.ok("/v1/kms/verify", request | {"signature": b64(signature)}) for _ in range(2)]
        assert [answer["cache"] for answer in answers] == ["miss", "hit"]
        for answer in answers:
            assert answer["components"] == answers[0]["components"]
            assert answer["conformant"] is all(answer["components"].values())
        return answers[0]["valid"], [answers[0]["components"][name] for name in names]

    assert verify(good) == (True, [True, True])
    assert verify(good[:split] + other[split:]) == (True, [True, False])
    assert verify(other[:split] + good[split:]) == (True, [False, True])
    for whole in (good[:split], good[split:], good[:-1], good + b"\0"):
        assert verify(whole) == (False, [False, False]), len(whole)
