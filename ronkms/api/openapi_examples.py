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
                "signature": "/70eZiFohYmUANrWEaNMMi63bbvdUyqbJJ0CfokqRSItOQ7hE7L/ruNlk/sm3dinVICZW+twSqfDbY5ZIC1xBg==",
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
                            "signature": "/70eZiFohYmUANrWEaNMMi63bbvdUyqbJJ0CfokqRSItOQ7hE7L/ruNlk/sm3dinVICZW+twSqfDbY5ZIC1xBg==",
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
                "signature": "/70eZiFohYmUANrWEaNMMi63bbvdUyqbJJ0CfokqRSItOQ7hE7L/ruNlk/sm3dinVICZW+twSqfDbY5ZIC1xBg==",
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
                    "x": "KdO93-A43YCIzf4lP200vkh7UsBZBV2huxH__pq5LJw",
                },
                "message": "cGF5IDEwIEVVUiB0byBBbGljZQ==",
                "signature": "/70eZiFohYmUANrWEaNMMi63bbvdUyqbJJ0CfokqRSItOQ7hE7L/ruNlk/sm3dinVICZW+twSqfDbY5ZIC1xBg==",
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
                        "signature": "/70eZiFohYmUANrWEaNMMi63bbvdUyqbJJ0CfokqRSItOQ7hE7L/ruNlk/sm3dinVICZW+twSqfDbY5ZIC1xBg==",
                    },
                    {
                        "key_id": "orders",
                        "message": "",
                        "signature": "/70eZiFohYmUANrWEaNMMi63bbvdUyqbJJ0CfokqRSItOQ7hE7L/ruNlk/sm3dinVICZW+twSqfDbY5ZIC1xBg==",
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
                "ciphertext": "UktFAQEAAAAByrjp8M1ityW5xKVXTVG9rcIpkm/69j9n6qWExdEx/I+b35XVmLh8c0W32n7EqnV0kS9/7vOwhhMj9fyPEKu7H0clJZ8g1w==",
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
                "ciphertext": "UktFAQEAAAAByrjp8M1ityW5xKVXTVG9rcIpkm/69j9n6qWExdEx/I+b35XVmLh8c0W32n7EqnV0kS9/7vOwhhMj9fyPEKu7H0clJZ8g1w==",
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
                "ciphertext": "UktFAQEAAAABLoEl/RbX65uvLqafS4e28ZnHtCaS8IIvNUbehWfrTAX7L/97NEPHoSGqPsbss/Mv8ZlwDDGYdbwQAmo+CDXtvMp2/l1D+oxyGUHUnTp3rrzad2Y3Zn/54IucLWE=",
                "alg": "AES-256-GCM",
                "key_id": "vault",
                "key_version": 1,
                "plaintext": "Rh1gnbKhU0Z4wfYOGnwavQMopMTEIo5XY2wueozgmWY=",
            },
        ),
        Example(
            "wrapped",
            "Wrapped only",
            {"key_id": "vault", "bytes": 16, "plaintext": False},
            {
                "ciphertext": "UktFAQEAAAABPUg7H+9cf3zU4umigzH+XWTc44fjeEgnSKuHMVUXsVU/U/o/nwtmTOINkAziJkbHVObiZKNPQMONdNW0xyaB/DJacejHuyI9+Ji/bg==",
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
                "import_id": "05196f6aece3ad279216792fc7cb3308",
                "mechanism": "RSA-OAEP-3072-SHA256-AES-KWP",
                "public_key": "MIIBojANBgkqhkiG9w0BAQEFAAOCAY8AMIIBigKCAYEArrBWUMgMofB81jFzcBBt/3zQgsiF2zAw4LDXrNM/WwaVZSycWnwLGlP+xEtjya5Kn20E9ROpKSbF0VT5joRQIsDuhXZFMC5Cadg5BnK3P0kAalSssidmhw8j5FdzvPN9tyIY+kTJEp6B6ieaSS4EMR3B2jOlXkMjaeIhKpoZ7/7JoKHSZcyd64oRVRfoq6MzjC146DCJ+VA0WOfrrpgd+66PkNTkaZtfZnoN2sFSvgQDlNF3A8kPvZv9KqDhBzqGbOmck0tV9EZrSiDPGbVrVvOMoBiDsmGh70qXQOlAihxDLTQB7+ZbxsPb59qURU9nRO0O9vsz76wWtlHFmiVhnanMuSuA+N0VFswTBbhQzX2RBiAS2C0Wksah4IBWSlhEfG3oTBxxdN+f5Az6i/jl2uUnLDIfrZ0XNVrNutcNDS9L+ruHDHDoz0k6lxvRGiCNqjXgVesBKfiTZ718mGe6ojb/L0Y9K0b4pBFfdqVkQPvZbWsSCdZAvPR3kMxBjlCNAgMBAAE=",
                "expires_at": 1795558453,
            },
        ),
    ),
    "import_key": (
        Example(
            "key",
            "A new key",
            {
                "import_id": "05196f6aece3ad279216792fc7cb3308",
                "wrapped_key": "KRfQva2Yqy0HxsQY27/o+8G7sSwEjYy0jNfO+UkD4lhTQ/FKDrzGio33kwm0RpTcnVlhi4/MnAV+00iYXbOnitiHu3uDE9yoXDU0CSywzDpM5BEYfnfS/zIj1T8q/5nElde7nYHrwk2nUwRFsxC8+/7GqYwqOy3E1y1/TdtlRIXJHVDok0DSj4M/LrQM/ObpwrIj6EN6z2NDvRzAcP4inL/MF3Nm8NFjZ+9SUXsL8ohAstvhL5oQjZsj0IYRyMIfaP7yNYNQMru4CQnhmJC7jhVr7xZwuIUtfJ7OvH9zsvGPhjaZvussOnx+LSOdB/zTRUZnguMcM+u8+CLPxXbjclyWWaa4MSKdrEG1kT4sF1E5NwmXRRSeIO1EDAJkZLgGD5SQA3zi5OXamIy0aN8CU5ZjFfDs2epStQkcNPrwp2MSzzx017j14rpLWvrNF+uqbGa6XeeN33NVmbCq8f03+SFLrEExX7EvJ1AtVzHZtzQ8CFNYVs4PPl6umGUCHqHzqNZM3YVEWyUVQQ66vyrd4cdU/TAEtkBNPHLL30saNCZaAmpxWdyLmhH7hocx01zUcv/A/MtNdJM=",
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
                        "x": "eMvqOx0G8n_BjH05nEb50lfTV86iWHzlvIMpJqXrpZw",
                        "alg": "Ed25519",
                        "use": "sig",
                        "kid": "AN6IEqqOeZKYJSSvEzWwKsUXPY98nY21eqnITKlkJwg",
                        "key_id": "legacy",
                        "key_version": 1,
                    },
                    {
                        "kty": "OKP",
                        "crv": "Ed25519",
                        "x": "KdO93-A43YCIzf4lP200vkh7UsBZBV2huxH__pq5LJw",
                        "alg": "Ed25519",
                        "use": "sig",
                        "kid": "If5gKfriR38UiI_q6gK38ld8d1XytPeYdAqxjyQsZkg",
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
                "created_at": 1795554853,
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
                        "created_at": 1795554854,
                    },
                    {
                        "key_version": 1,
                        "alg": "Ed25519",
                        "state": "enabled",
                        "origin": "generated",
                        "created_at": 1795554853,
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
                        "created_at": 1795554854,
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
                        "created_at": 1795554853,
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
                "x": "KdO93-A43YCIzf4lP200vkh7UsBZBV2huxH__pq5LJw",
                "alg": "Ed25519",
                "use": "sig",
                "kid": "If5gKfriR38UiI_q6gK38ld8d1XytPeYdAqxjyQsZkg",
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
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAKdO93+A43YCIzf4lP200vkh7UsBZBV2huxH//pq5LJw=\n-----END PUBLIC KEY-----\n",
        ),
    ),
    "disable_key": (
        Example("key", "The whole key", {}, {"key_id": "legacy", "state": "disabled"}),
        Example(
            "stages",
            "In stages: from nothing to half of the requests within a day",
            {"percent": 50, "over": 86400},
            {
                "key_id": "legacy",
                "state": "enabled",
                "staged_disabling": {
                    "refused_percent": 0.0,
                    "target_percent": 50,
                    "target_at": 1795921240,
                },
            },
        ),
    ),
    "enable_key": (Example("key", "The whole key", {}, {"key_id": "legacy", "state": "enabled"}),),
    "destroy_key": (
        Example(
            "day",
            "In a day",
            {"window_seconds": 86400},
            {"key_id": "legacy", "state": "destroy_scheduled", "destroy_at": 1795641254},
        ),
        Example(
            "dry_run",
            "Who used it lately",
            {"dry_run": True},
            {
                "key_id": "legacy",
                "state": "enabled",
                "destroy_at": 1796439640,
                "dry_run": {
                    "allowed": False,
                    "detail": "key legacy was used (sign, version 1) at 2026-11-28T03:00:40Z, by token 243aa6159f976004289d65a579e76caa; see destroy with dry_run, disable the key first (in stages, if you like), or repeat with force",
                    "usage_since": 1795834838,
                    "usage_complete": True,
                    "uses": [
                        {
                            "op": "sign",
                            "token": "243aa6159f976004289d65a579e76caa",
                            "first_at": 1795834840,
                            "last_at": 1795834840,
                            "count": 1,
                            "key_version": 1,
                        }
                    ],
                },
            },
        ),
    ),
    "key_policy": (
        Example(
            "expiry",
            "No use from 2027 on",
            {"not_after": 1798761600},
            {"key_id": "legacy", "policy": {"not_after": 1798761600}},
        ),
    ),
    "restore_key": (Example("key", "The whole key", {}, {"key_id": "legacy", "state": "disabled"}),),
}
