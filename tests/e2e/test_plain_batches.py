"""A batch of plain items through the real server: right, cached, and bound by the token's checks."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from ronkms.capability.attenuate import Attenuation, attenuate
from tests.e2e.support.api_client import ApiClient
from tests.e2e.support.signature_check import verifies
from tests.server_process import ServerProcess

ITEMS = 200


def test_plain_batches(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data") as server:
        api = ApiClient(server.api_url, server.token)
        api.ok("/v1/kms/keys", {"key_id": "k", "alg": "Ed25519", "usage": "sign"})
        messages = [b"message %d" % number for number in range(ITEMS)]
        items: list[dict[str, object]] = [
            {"key_id": "k", "message": base64.b64encode(each).decode()} for each in messages
        ]
        signed = api.batch("/v1/kms/sign", items)
        jwk = api.get("/v1/kms/keys/k/public").body
        signatures = [base64.b64decode(each["result"]["signature"]) for each in signed]
        assert all(verifies(jwk, *pair) for pair in zip(messages, signatures, strict=True))
        checks = [
            {**item, "signature": each["result"]["signature"]}
            for item, each in zip(items, signed, strict=True)
        ]
        checks[7]["message"] = items[8]["message"]
        for used in ("miss", "hit"):
            answers = [each["result"] for each in api.batch("/v1/kms/verify", checks)]
            assert [each["valid"] for each in answers] == [number != 7 for number in range(ITEMS)]
            assert {each["cache"] for each in answers} == {used}

        only = Attenuation(digests=(hashlib.sha256(messages[3]).hexdigest(),))
        bound = ApiClient(server.api_url, attenuate(server.token, only))
        answers = bound.batch("/v1/kms/sign", items)
        assert [each["status"] for each in answers] == [
            200 if number == 3 else 403 for number in range(ITEMS)
        ]
        bound.close()
        api.close()
