# ruff: noqa: E501  (recorded values are longer than a line)
"""Examples of requests and answers, by the route's name, recorded from a running server.

The tests check that they fit the schemas.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Example:
    """``request`` None: no body. ``response`` is a JSON value, or text for PEM."""

    name: str
    summary: str
    request: Any
    response: Any


EXAMPLES: Final[Mapping[str, tuple[Example, ...]]] = {
    "create_key": (
        Example(
            "signing",
            "A signing key",
            {"alg": "Ed25519", "usage": "sign", "key_id": "orders"},
            {"key_id": "orders", "key_version": 1, "alg": "Ed25519", "usage": "sign", "state": "enabled"},
        ),
        Example(
            "wrapping",
            "A wrapping key with a label",
            {"alg": "AES-256-GCM", "usage": "wrap", "key_id": "vault", "labels": {"team": "billing"}},
            {"key_id": "vault", "key_version": 1, "alg": "AES-256-GCM", "usage": "wrap", "state": "enabled"},
        ),
    ),
    "sign": (
        Example(
            "one",
            "One message",
            {"key_id": "orders", "message": "cGF5IDEwIEVVUiB0byBBbGljZQ=="},
            {
                "signature": "nfjd0E6c3zepaV4zFOmSKbnw+8VyS76ywGjheKRgAatT2vOVv3N5XVITxrF2j002UMC3RG9Hv5jghkBstb9EBg==",
                "alg": "Ed25519",
                "key_id": "orders",
                "key_version": 1,
            },
        ),
        Example(
            "batch",
            "A batch, one item wrong",
            {
                "items": [
                    {"key_id": "orders", "message": "cGF5IDEwIEVVUiB0byBBbGljZQ=="},
                    {"key_id": "vault", "message": "cGF5IDEwIEVVUiB0byBBbGljZQ=="},
                ]
            },
            {
                "items": [
                    {
                        "status": 200,
                        "result": {
                            "signature": "nfjd0E6c3zepaV4zFOmSKbnw+8VyS76ywGjheKRgAatT2vOVv3N5XVITxrF2j002UMC3RG9Hv5jghkBstb9EBg==",
                            "alg": "Ed25519",
                            "key_id": "orders",
                            "key_version": 1,
                        },
                    },
                    {
                        "status": 400,
                        "error": {"code": "bad_request", "detail": "key vault is for wrap, not for sign"},
                    },
                ]
            },
        ),
    ),
    "verify": (
        Example(
            "stored",
            "With a stored key",
            {
                "key_id": "orders",
                "message": "cGF5IDEwIEVVUiB0byBBbGljZQ==",
                "signature": "nfjd0E6c3zepaV4zFOmSKbnw+8VyS76ywGjheKRgAatT2vOVv3N5XVITxrF2j002UMC3RG9Hv5jghkBstb9EBg==",
            },
            {
                "valid": True,
                "alg": "Ed25519",
                "key_version": 1,
                "mode": "and",
                "components": {"Ed25519": True},
                "conformant": True,
                "cache": "miss",
            },
        ),
        Example(
            "inline",
            "With an inline public key",
            {
                "public_key": {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "x": "veN0fxfj8FGmJudnwp80gwsfu1USReE6mzwDmGWRxto",
                },
                "message": "cGF5IDEwIEVVUiB0byBBbGljZQ==",
                "signature": "nfjd0E6c3zepaV4zFOmSKbnw+8VyS76ywGjheKRgAatT2vOVv3N5XVITxrF2j002UMC3RG9Hv5jghkBstb9EBg==",
            },
            {
                "valid": True,
                "alg": "Ed25519",
                "key_version": None,
                "mode": "and",
                "components": {"Ed25519": True},
                "conformant": True,
                "cache": "miss",
            },
        ),
        Example(
            "batch",
            "A batch, one signature wrong",
            {
                "items": [
                    {
                        "key_id": "orders",
                        "message": "cGF5IDEwIEVVUiB0byBBbGljZQ==",
                        "signature": "nfjd0E6c3zepaV4zFOmSKbnw+8VyS76ywGjheKRgAatT2vOVv3N5XVITxrF2j002UMC3RG9Hv5jghkBstb9EBg==",
                    },
                    {
                        "key_id": "orders",
                        "message": "",
                        "signature": "nfjd0E6c3zepaV4zFOmSKbnw+8VyS76ywGjheKRgAatT2vOVv3N5XVITxrF2j002UMC3RG9Hv5jghkBstb9EBg==",
                    },
                ]
            },
            {
                "items": [
                    {
                        "status": 200,
                        "result": {
                            "valid": True,
                            "alg": "Ed25519",
                            "key_version": 1,
                            "mode": "and",
                            "components": {"Ed25519": True},
                            "conformant": True,
                            "cache": "hit",
                        },
                    },
                    {
                        "status": 200,
                        "result": {
                            "valid": False,
                            "alg": "Ed25519",
                            "key_version": 1,
                            "mode": "and",
                            "components": {"Ed25519": False},
                            "conformant": False,
                            "cache": "miss",
                        },
                    },
                ]
            },
        ),
    ),
    "wrap": (
        Example(
            "aad",
            "With associated data",
            {"key_id": "vault", "plaintext": "dGhlIHNlY3JldA==", "aad": "aW52b2ljZSA3"},
            {
                "ciphertext": "UktFAQEAAAABHHwj4EA0uZpnnA5Lk+s6nOBqibeEUz+ZtRL8KIBzdgczY0G/6mY3NwQWL92o3hRwEz3hJaD3rIGJwNaPuOGXunOEh+0o4w==",
                "alg": "AES-256-GCM",
                "key_id": "vault",
                "key_version": 1,
            },
        ),
    ),
    "unwrap": (
        Example(
            "aad",
            "With associated data",
            {
                "key_id": "vault",
                "ciphertext": "UktFAQEAAAABHHwj4EA0uZpnnA5Lk+s6nOBqibeEUz+ZtRL8KIBzdgczY0G/6mY3NwQWL92o3hRwEz3hJaD3rIGJwNaPuOGXunOEh+0o4w==",
                "aad": "aW52b2ljZSA3",
            },
            {"plaintext": "dGhlIHNlY3JldA==", "alg": "AES-256-GCM", "key_id": "vault", "key_version": 1},
        ),
    ),
    "datakey": (
        Example(
            "both",
            "In the clear and wrapped",
            {"key_id": "vault"},
            {
                "ciphertext": "UktFAQEAAAABz6Ci6U1TEHlonp9S4/rTx/hYuplPxFcY3MszIpHs4wWW/mrB4UUoxIoSfeE9oj8F9OisbXo6M3YKOCD/QDq5ZYxhu50dzbB4gyc0MVDUsTwu/HEV+J8MydHMdlw=",
                "alg": "AES-256-GCM",
                "key_id": "vault",
                "key_version": 1,
                "plaintext": "YLcMF/pMJ8B19T0tP7NPnpkDo/7t3Dbk6xIJAQRD3Cc=",
            },
        ),
        Example(
            "wrapped",
            "Wrapped only",
            {"key_id": "vault", "bytes": 16, "plaintext": False},
            {
                "ciphertext": "UktFAQEAAAABMeUQYspS5EJ9bLRAmdGAqcfJAVKJa3ahfuluwpozZVSQo/7IEbxunCEVUP6+rE98FttyY2BgB0W51ZR+dP9ik0VHXOwNzw2r2W4FPQ==",
                "alg": "AES-256-GCM",
                "key_id": "vault",
                "key_version": 1,
            },
        ),
    ),
    "import_params": (
        Example(
            "rsa",
            "RSA-OAEP with AES-KWP",
            {"mechanism": "RSA-OAEP-3072-SHA256-AES-KWP"},
            {
                "import_id": "307a3abd5f27fc011bc136c6c598f460",
                "mechanism": "RSA-OAEP-3072-SHA256-AES-KWP",
                "public_key": "MIIBojANBgkqhkiG9w0BAQEFAAOCAY8AMIIBigKCAYEAwKGfB761bYlBPIfuUw0P8qNbLcYxVpvrlACE+ncsvy441o9UdQ2PkkJyIYrWGT6jPZAwNRcAeHqe22QIR98oyK4eID+HUm8az1EWfeg9+PZ4oZAM0sTGVBA3MQnHEIZyrL4ixxuIyDVr8oyySVRPBV9PPGKPEJGcq1SNgWCnDFgOujTv7/0nzSo1SSY4N+4yAEq7Cr/GFc1ly6fE5hBd6JI4SJbA1X11CT+YpyhNhIgxLvUVYENO//jUffpviH4ApHkoald7frBj6lnbFf3aXYRGQbsJ8+5ZM//XZUYoCjHktbYKO6O6DxDA00v6Q6Cj6WqoNSRdJSvrbCWKGT8uu2w6fxH3YpQl/PQvHZBXMjet72+2d/fydGCwthWfJOufw/izFFkNiLLzWf1a0JGghFD1YArQ4Iez/rSwQmXCWmERR0ty5CAV9Y/6HqhmIEWUvy/n6N3uj2IzNRPsXqiliz6rkZp6SeFCRWmn1HXizQuTzhxfbdIX0i7ATDY+XvtRAgMBAAE=",
                "expires_at": 1795558424,
            },
        ),
    ),
    "import_key": (
        Example(
            "key",
            "A new key",
            {
                "import_id": "307a3abd5f27fc011bc136c6c598f460",
                "wrapped_key": "cnckptbc156cIUOCJhDW8wZ5yDlqg3xQ37f1Tv/oKMogf2pcRxXKHDBXDTZ5IA9JktEqZ78UnmED4TVKovqY5RFnUYvl+Lgj4d6JpO72CUAPlrvKTlzsGkE4WWa64rmSqz+k9TLM7jd/MRoIgsWYbhd2yfenplyXlc4cJBd9LY6x3YH6zagHjq0x31q/ToN9Dtvsnat3OIopKyHgEXJwJAiN50+iAWgnkY1+sWNeX8fBVXixTeGvof1iOnUYFYNd9XeGs8006cZSWbn/w3Z8rpJcyXUtzpcqklKY36pTiaaRq1VxmUyD3FoyYYRxUZKe9wAy7h1ojgUYjJyKYBHuiZqMTFg7NsnyINrH3xRjrxsn7by8d12LHAB0hYUOaCzaGXylNlf1Yym4Vz5I4WIwqSjkyKRQv7MM1WJZ24Q31Nmr6jt4vcVHg1/ecDUydzoolHihXY3UIgAJ+J+bZ9JDGRxGMtfEGSrC8bO8mtQX0juSge8ZwrKdhgL/PNpKreZ4JUTb/YjLxwvNg/QC10e3OSHDbZVgbZNRP6YRYH1TfhmaHrZtBpc4+CKcpM9idIeylljcflQlaYM=",
                "alg": "Ed25519",
                "usage": "sign",
                "key_id": "legacy",
            },
            {"key_id": "legacy", "key_version": 1, "alg": "Ed25519", "usage": "sign", "state": "enabled"},
        ),
    ),
    "jwks": (
        Example(
            "set",
            "All signing keys",
            None,
            {
                "keys": [
                    {
                        "kty": "OKP",
                        "crv": "Ed25519",
                        "x": "7wjxDIYNlZVAPvE6UwJta4Tqne0L7uw4t9NbKANEsMQ",
                        "alg": "Ed25519",
                        "use": "sig",
                        "kid": "swadcuEPxBzINcbCnRdFgZxT5OwX2WHQUWd7Hb5s0kE",
                        "key_id": "legacy",
                        "key_version": 1,
                    },
                    {
                        "kty": "OKP",
                        "crv": "Ed25519",
                        "x": "veN0fxfj8FGmJudnwp80gwsfu1USReE6mzwDmGWRxto",
                        "alg": "Ed25519",
                        "use": "sig",
                        "kid": "V5HZ1EBFviBXMdiRRKdxMr8eXzJrf_67peDj3DE6z04",
                        "key_id": "orders",
                        "key_version": 1,
                    },
                ]
            },
        ),
    ),
    "rotate_key": (
        Example(
            "rotate",
            "Version 2 signs from now on",
            {"key_id": "orders"},
            {"key_id": "orders", "key_version": 2, "alg": "Ed25519", "usage": "sign", "state": "enabled"},
        ),
    ),
    "describe_key": (
        Example(
            "key",
            "A key with two versions",
            None,
            {
                "key_id": "orders",
                "alg": "Ed25519",
                "usage": "sign",
                "backend": "file",
                "state": "enabled",
                "created_at": 1795554824,
                "key_version": 2,
                "labels": {},
                "policy": {},
                "version_count": 2,
                "versions": [
                    {
                        "key_version": 2,
                        "alg": "Ed25519",
                        "state": "enabled",
                        "origin": "generated",
                        "created_at": 1795554824,
                    },
                    {
                        "key_version": 1,
                        "alg": "Ed25519",
                        "state": "enabled",
                        "origin": "generated",
                        "created_at": 1795554824,
                    },
                ],
            },
        ),
    ),
    "rotate": (
        Example(
            "rotate",
            "Version 3 signs from now on",
            {"key_id": "orders"},
            {"key_id": "orders", "key_version": 3, "alg": "Ed25519", "usage": "sign", "state": "enabled"},
        ),
    ),
    "list_keys": (
        Example(
            "page",
            "A page",
            None,
            {
                "keys": [
                    {
                        "key_id": "legacy",
                        "alg": "Ed25519",
                        "usage": "sign",
                        "backend": "file",
                        "state": "enabled",
                        "created_at": 1795554824,
                        "key_version": 1,
                        "labels": {},
                        "policy": {},
                    },
                    {
                        "key_id": "orders",
                        "alg": "Ed25519",
                        "usage": "sign",
                        "backend": "file",
                        "state": "enabled",
                        "created_at": 1795554824,
                        "key_version": 3,
                        "labels": {},
                        "policy": {},
                    },
                ],
                "next": "orders",
            },
        ),
    ),
    "public_key": (
        Example(
            "jwk",
            "A JWK",
            None,
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "x": "veN0fxfj8FGmJudnwp80gwsfu1USReE6mzwDmGWRxto",
                "alg": "Ed25519",
                "use": "sig",
                "kid": "V5HZ1EBFviBXMdiRRKdxMr8eXzJrf_67peDj3DE6z04",
                "key_id": "orders",
                "key_version": 1,
            },
        ),
    ),
    "public_key_pem": (
        Example(
            "pem",
            "PEM",
            None,
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAveN0fxfj8FGmJudnwp80gwsfu1USReE6mzwDmGWRxto=\n-----END PUBLIC KEY-----\n",
        ),
    ),
    "disable_key": (
        Example("key", "The whole key", {}, {"key_id": "legacy", "state": "disabled"}),
        Example(
            "version",
            "One version",
            {"key_version": 1},
            {"key_id": "orders", "state": "disabled", "key_version": 1},
        ),
    ),
    "enable_key": (Example("key", "The whole key", {}, {"key_id": "legacy", "state": "enabled"}),),
    "destroy_key": (
        Example(
            "day",
            "In a day",
            {"window_seconds": 86400},
            {"key_id": "legacy", "state": "destroy_scheduled", "destroy_at": 1795641225},
        ),
    ),
    "restore_key": (Example("key", "The whole key", {}, {"key_id": "legacy", "state": "disabled"}),),
}
