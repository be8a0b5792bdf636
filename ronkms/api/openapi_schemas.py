"""The schemas of the OpenAPI document: those of ``api.schemas``, and what a msgspec type cannot say.

Sizes of base64 members, algorithm names, members that exclude each other, and the JWK are added here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from ronkms.api.schemas import Jwk
from ronkms.domain.algorithm import ALGORITHMS, Usage
from ronkms.domain.envelope import MAX_AAD, MAX_ENVELOPE, MAX_PLAINTEXT
from ronkms.service.crypto_input import MAX_CONTEXT, MAX_MESSAGE, MU_SIZE
from ronkms.service.key_policy import MAX_LABEL, MAX_LABELS
from ronkms.service.lifecycle import MAX_WINDOW_SECONDS, MIN_WINDOW_SECONDS

Schema = dict[str, Any]

REFERENCE: Final = "#/components/schemas/"
_BASE64: Final = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$"
"""RFC 4648 section 4, padded, the unused bits zero (section 3.5)."""
_BASE64URL: Final = "^[A-Za-z0-9_-]+$"
_ROLE: Final = re.compile(r":\w+:`")

_BYTES: Final = {
    "message": (0, MAX_MESSAGE),
    "context": (0, MAX_CONTEXT),
    "mu": (MU_SIZE, MU_SIZE),
    "plaintext": (1, MAX_PLAINTEXT),
    "ciphertext": (0, MAX_ENVELOPE),
    "aad": (0, MAX_AAD),
}
"""Least and most bytes of members of requests."""


def reference(name: str) -> Schema:
    """A reference to the component ``name``."""
    return {"$ref": f"{REFERENCE}{name}"}


def component_schemas(types: Iterable[object]) -> tuple[dict[object, Schema], dict[str, Schema]]:
    """(schema of each of ``types``, the components they refer to)."""
    own = [kind for kind in dict.fromkeys(types) if kind != Jwk]
    schemas, components = msgspec.json.schema_components(
        own, schema_hook=lambda _: {"type": "object"}, ref_template=f"{REFERENCE}{{name}}"
    )
    for name, component in components.items():
        _plain_text(component)
        if name.endswith("Request"):
            _tighten_request(component)
    _tighten_components(components)
    by_type: dict[object, Schema] = dict(zip(own, schemas, strict=True))
    by_type[Jwk] = reference("Jwk")
    return by_type, dict(sorted(components.items()))


def _plain_text(component: Schema) -> None:
    """Docstrings become plain paragraphs with Markdown code."""
    text = component.get("description", "")
    if text:
        joined = "\n\n".join(" ".join(block.split()) for block in text.split("\n\n"))
        component["description"] = _ROLE.sub("`", joined).replace("``", "`")


def _tighten_request(component: Schema) -> None:
    for name, member in component["properties"].items():
        if member.get("contentEncoding") == "base64":
            member["pattern"] = _BASE64
            if name in _BYTES:
                least, most = _BYTES[name]
                member["maxLength"] = _encoded(most)
                if least:
                    member["minLength"] = _encoded(least)
        elif name == "alg":
            member["enum"] = list(ALGORITHMS)
        elif name == "algs":
            for choice in member["anyOf"]:
                if choice.get("type") == "array":
                    choice["items"]["enum"] = list(ALGORITHMS)
        elif name == "labels":
            text = {"type": "string", "maxLength": MAX_LABEL}
            member |= {"maxProperties": MAX_LABELS, "propertyNames": text | {"minLength": 1}}
            member["additionalProperties"] = text
        elif name == "window_seconds":
            member |= {"minimum": MIN_WINDOW_SECONDS, "maximum": MAX_WINDOW_SECONDS, "default": 604800}
    if {"alg", "usage"} <= component["properties"].keys():
        component["oneOf"] = [_usage(usage) for usage in Usage]


def _encoded(size: int) -> int:
    """Characters of ``size`` bytes in padded base64."""
    return -(-size // 3) * 4


def _usage(usage: Usage) -> Schema:
    names = [row.name for row in ALGORITHMS.values() if row.usage is usage]
    return {"properties": {"alg": {"enum": names}, "usage": {"const": usage.value}}}


def _tighten_components(components: dict[str, Schema]) -> None:
    message: Schema = {"required": ["message"], "properties": {"mu": False}}
    mu: Schema = {"required": ["mu"], "properties": {"message": False, "prehashed": False, "context": False}}
    stored: Schema = {"required": ["key_id"], "properties": {"public_key": False}}
    inline: Schema = {"required": ["public_key"], "properties": {"key_id": False, "key_version": False}}
    components["SignRequest"]["oneOf"] = [message, mu]
    components["VerifyRequest"]["allOf"] = [{"oneOf": [message, mu]}, {"oneOf": [stored, inline]}]
    components["VerifyRequest"]["properties"]["public_key"] = reference("Jwk")
    components["Jwks"]["properties"]["keys"]["items"] = reference("Jwk")
    components["Jwk"] = jwk_schema()
    for name in ("SignItem", "VerifyItem"):
        components[name]["oneOf"] = [{"required": ["result"]}, {"required": ["error"]}]


def jwk_schema() -> Schema:
    """A public key. Private members are refused, other members ignored."""
    text: Schema = {"type": "string", "pattern": _BASE64URL}
    akp = [row.name for row in ALGORITHMS.values() if row.kty == "AKP"]
    return {
        "title": "Jwk",
        "type": "object",
        "description": "A public key: `OKP` (Ed25519), `EC` (P-256, P-384), `RSA` (2048 to 4096 bits), or "
        "`AKP` (RFC 9964) for ML-DSA, the composites and X-Wing. base64url without padding. `kid` is the "
        "RFC 7638 thumbprint. Private members are refused; others are ignored.",
        "required": ["kty"],
        "properties": {
            "kty": {"enum": ["OKP", "EC", "RSA", "AKP"]},
            "alg": {"type": "string", "description": "Required for `AKP`; else it must fit the key."},
            "crv": {"enum": ["Ed25519", "P-256", "P-384"]},
            "x": text,
            "y": text,
            "n": text,
            "e": text,
            "pub": text,
            "use": {"enum": ["sig", "enc"]},
            "kid": {"type": "string"},
            "key_id": {"type": "string"},
            "key_version": {"type": "integer", "minimum": 1},
            "d": False,
            "k": False,
            "priv": False,
        },
        "oneOf": [
            {"required": ["crv", "x"], "properties": {"kty": {"const": "OKP"}, "crv": {"const": "Ed25519"}}},
            {
                "required": ["crv", "x", "y"],
                "properties": {"kty": {"const": "EC"}, "crv": {"enum": ["P-256", "P-384"]}},
            },
            {"required": ["n", "e"], "properties": {"kty": {"const": "RSA"}}},
            {"required": ["alg", "pub"], "properties": {"kty": {"const": "AKP"}, "alg": {"enum": akp}}},
        ],
    }
