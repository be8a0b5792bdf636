"""The OpenAPI document is what the service does: same routes, same shapes, and it is served with its page."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ronkms.api.openapi import openapi_document
from ronkms.api.openapi_examples import EXAMPLES
from ronkms.api.openapi_operations import OPERATIONS
from ronkms.api.problem import STATUS
from ronkms.api.routes import ROUTES
from tests.e2e.support.api_client import Answer, ApiClient
from tests.e2e.support.key_import import import_key

DOCUMENT = openapi_document()
PEM = "application/x-pem-file"


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """``schema`` with the document's components, so that its references resolve."""
    return Draft202012Validator(schema | {"components": DOCUMENT["components"]})


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value:
        found: Any = DOCUMENT
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        value = found
    return value


def documented(method: str, path: str) -> dict[str, Any]:
    """The operation of a request; fixed paths come before those with variables."""
    bare = path.partition("?")[0]
    for template in sorted(DOCUMENT["paths"], key=lambda name: "{" in name):
        if (
            re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), bare)
            and method.lower() in DOCUMENT["paths"][template]
        ):
            operation: dict[str, Any] = DOCUMENT["paths"][template][method.lower()]
            return operation
    raise AssertionError(f"{method} {path} is not in the document")


def check_answer(answer: Answer) -> None:
    """Status, media type, headers and body are what the document says."""
    operation = documented(answer.method, answer.path)
    assert str(answer.status) in operation["responses"], (answer.path, answer.status)
    response = resolved(operation["responses"][str(answer.status)])
    assert answer.content_type in response["content"]
    for name, header in response["headers"].items():
        validator(resolved(header)["schema"] | {"type": "string"})
        assert answer.headers.get(name), (answer.path, name)
    validator(response["content"][answer.content_type]["schema"]).validate(answer.body)


# --- the document --------------------------------------------------------------------------------


def test_it_is_valid() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    assert DOCUMENT["openapi"] == "3.1.0"
    assert len({operation["operationId"] for _, _, operation in operations()}) == len(ROUTES)


def test_every_reference_resolves() -> None:
    def walk(value: Any) -> Iterator[dict[str, Any]]:
        if isinstance(value, dict):
            if "$ref" in value:
                yield value
            for inner in value.values():
                yield from walk(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from walk(inner)

    found = list(walk(DOCUMENT))
    assert len(found) > 100
    for each in found:
        resolved(each)


def test_every_schema_and_response_is_used() -> None:
    text = str(DOCUMENT)
    for kind in ("schemas", "responses", "parameters", "headers"):
        for name in DOCUMENT["components"][kind]:
            unused_on_purpose = name == f"problem_{STATUS['method_not_allowed']}"
            assert f"'#/components/{kind}/{name}'" in text or unused_on_purpose, name


def test_routes_and_document_are_the_same() -> None:
    assert {(method, path) for method, path, _ in operations()} == {
        (route.method, route.path) for route in ROUTES
    }
    assert OPERATIONS.keys() == {route.name for route in ROUTES}
    assert EXAMPLES.keys() == {route.name for route in ROUTES} | {"public_key_pem"}


@pytest.mark.parametrize(
    ("method", "path", "operation"), list(operations()), ids=lambda value: str(value)[:40]
)
def test_examples_fit_their_schemas(method: str, path: str, operation: dict[str, Any]) -> None:
    bodies = [*operation["responses"].values(), operation.get("requestBody", {})]
    checked = 0
    for body in map(resolved, bodies):
        for media in body.get("content", {}).values():
            for example in media.get("examples", {}).values():
                validator(media["schema"]).validate(example["value"])
                checked += 1
    assert checked >= 1, "no example"


# --- the document against the running service ------------------------------------------------------


def test_it_is_served_without_a_capability(api: ApiClient) -> None:
    answer = api.get("/openapi.json", authorization="")
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert answer.body == DOCUMENT


def test_the_page_is_served_and_runs_nothing_but_its_own(api: ApiClient) -> None:
    answer = api.get("/docs", authorization="")
    assert (answer.status, answer.content_type) == (200, "text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    for element in ("script", "style"):
        (inline,) = re.findall(rf"<{element}>(.*?)</{element}>", answer.body, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    assert not re.findall(r"(?:src|href)=\"(?!#|/openapi\.json)", answer.body)
    for route in ROUTES:
        assert f'id="op-{route.name}"' in answer.body


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_other_methods_are_refused_and_allowed_ones_named(api: ApiClient, route: Any) -> None:
    path = route.path.replace("{key_id}", "no-such-key")
    answer = api.request("DELETE", path)
    assert (answer.status, answer.body["code"]) == (405, "method_not_allowed")
    assert route.method in answer.headers["allow"]


def test_samples_of_every_route_fit(api: ApiClient) -> None:
    """One run through the whole API, good and bad; every answer is checked against the document."""
    api.recording = True
    api.log.clear()
    try:
        _tour(api)
    finally:
        api.recording = False
    for answer in api.log:
        check_answer(answer)
    seen = {
        documented(answer.method, answer.path)["operationId"] for answer in api.log if answer.status < 300
    }
    assert seen == {route.name for route in ROUTES}
    statuses = {answer.status for answer in api.log}
    assert statuses >= {200, 201, 400, 401, 404, 409, 413, 415}


def _tour(api: ApiClient) -> None:
    for route in ROUTES:
        path = route.path.replace("{key_id}", "tour")
        api.request(route.method, path, {"unknown": 1} if route.request else None)
        api.request(
            route.method, path, {} if route.request else None, authorization="Bearer bm90IGEgdG9rZW4="
        )
        if route.request:
            api.request(route.method, path, "not an object")
    for name, examples in EXAMPLES.items():
        if name not in OPERATIONS or name in ("import_key", "unwrap"):
            continue
        route = next(route for route in ROUTES if route.name == name)
        for example in examples:
            api.request(route.method, route.path.replace("{key_id}", "legacy"), example.request)
    _tour_keys(api)


def _tour_keys(api: ApiClient) -> None:
    algs = {
        "tour-ed": "Ed25519",
        "tour-ec": "ES256",
        "tour-pq": "ML-DSA-44",
        "tour-hy": "MLDSA65-Ed25519-SHA512",
    }
    for key_id, alg in algs.items():
        api.post("/v1/kms/keys", {"alg": alg, "usage": "sign", "key_id": key_id})
        signed = api.post("/v1/kms/sign", {"key_id": key_id, "message": "YQ=="})
        request = {"message": "YQ==", "signature": signed.body["signature"]}
        api.post("/v1/kms/verify", request | {"key_id": key_id})
        jwk = api.get(f"/v1/kms/keys/{key_id}/public")
        api.post("/v1/kms/verify", request | {"public_key": jwk.body})
        api.get(f"/v1/kms/keys/{key_id}/public", accept=PEM)
        api.get(f"/v1/kms/keys/{key_id}")
    for key_id, alg in {"tour-gcm": "AES-256-GCM", "tour-kwp": "AES-KWP", "tour-xw": "X-Wing"}.items():
        api.post("/v1/kms/keys", {"alg": alg, "usage": "wrap", "key_id": key_id})
        wrapped = api.post("/v1/kms/wrap", {"key_id": key_id, "plaintext": "YQ=="})
        api.post("/v1/kms/unwrap", {"key_id": key_id, "ciphertext": wrapped.body["ciphertext"]})
        api.post("/v1/kms/datakey", {"key_id": key_id})
    api.ok("/v1/kms/keys/tour-ed/policy", {"not_after": 4_000_000_000, "rotation_period_seconds": 86400})
    api.get("/v1/kms/keys/tour-ed")
    for action in ("disable", "enable", "destroy"):
        api.post(f"/v1/kms/keys/tour-ed/{action}", {})
    for forced in ({"dry_run": True}, {"force": True}):
        api.ok("/v1/kms/keys/tour-ed/destroy", forced)
    for _ in range(2):
        api.post("/v1/kms/keys/tour-ed/restore", {})
    api.post("/v1/kms/sign", {"key_id": "tour-ed", "message": "YQ=="})
    api.post("/v1/kms/sign", {"key_id": "tour-ec", "message": "A" * 4 * 500_000})
    api.request("POST", "/v1/kms/sign", {}, content_type="text/plain")
    import_key(api, "AES-KWP", bytes(32), key_id="tour-import")
