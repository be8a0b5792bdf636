"""What settings must not say together, and what this version does not offer."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ronkms.config.audit_sinks import check_sinks
from ronkms.config.settings import Settings
from ronkms.errors import ConfigError


def check_contradictions(settings: Settings) -> None:
    """Raises :class:`ConfigError`: one line that names the key and says what is allowed."""
    _check_offer(settings)
    _check_seal(settings)
    _check_tls(settings)
    _check_addresses(settings)
    _check_audit(settings)
    _check_policy(settings)
    check_sinks(settings)


def _check_offer(settings: Settings) -> None:
    if settings.grpc_addr:
        raise ConfigError("grpc_addr: gRPC is not built in this version; leave it empty")
    if settings.backend != "file":
        raise ConfigError(f"backend: {settings.backend} is not built in this version; use file")
    if settings.store != "file":
        raise ConfigError(f"store: {settings.store} is not built in this version; use file")
    if settings.bus != "local":
        raise ConfigError(f"bus: {settings.bus} is not built in this version; use local")
    if settings.seal in ("tpm", "pkcs11"):
        raise ConfigError(f"seal: {settings.seal} is not built in this version; use passphrase or keyfile")
    if settings.attestation_required:
        raise ConfigError("attestation_required: attestation is not built in this version; leave it false")


def _check_seal(settings: Settings) -> None:
    if settings.seal == "passphrase" and not settings.seal_passphrase_file:
        raise ConfigError(
            "seal_passphrase_file: seal passphrase needs it; name a file or choose another seal"
        )
    if settings.seal == "keyfile" and not settings.seal_keyfile:
        raise ConfigError("seal_keyfile: seal keyfile needs it; name a file of 32 or more random bytes")
    if settings.seal_passphrase_file and settings.seal != "passphrase":
        raise ConfigError(f"seal_passphrase_file: contradicts seal {settings.seal}; leave one of them out")
    if settings.seal_keyfile and settings.seal != "keyfile":
        raise ConfigError(f"seal_keyfile: contradicts seal {settings.seal}; leave one of them out")
    if settings.dev and not (settings.api.loopback and settings.metrics.loopback):
        raise ConfigError("seal: dev serves loopback only; use passphrase or keyfile, or loopback addresses")


def _check_tls(settings: Settings) -> None:
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise ConfigError("tls_cert, tls_key: both or none must be set")
    if settings.tls_client_ca and not settings.tls_cert:
        raise ConfigError("tls_client_ca: needs tls_cert and tls_key")
    if settings.cap_bind_required and not settings.tls_client_ca:
        raise ConfigError("cap_bind_required: needs tls_client_ca, or no token could ever be good")
    if not settings.api.loopback and not settings.tls and not settings.allow_plaintext:
        raise ConfigError(
            "api_addr: an address that is not loopback needs tls_cert and tls_key, or allow_plaintext = true"
        )


def _check_addresses(settings: Settings) -> None:
    if settings.api == settings.metrics:
        raise ConfigError("metrics_addr: must differ from api_addr")


def _check_audit(settings: Settings) -> None:
    if bool(settings.audit_witness_url) != bool(settings.audit_witness_key):
        raise ConfigError("audit_witness_url, audit_witness_key: both or none must be set")
    if settings.audit_archive_dir:
        archive = Path(settings.audit_archive_dir).resolve()
        if archive.is_relative_to(settings.data_path.resolve()):
            raise ConfigError("audit_archive_dir: must be outside of data_dir")
    if settings.audit_witness_required and not settings.audit_witness_url:
        raise ConfigError("audit_witness_required: needs audit_witness_url and audit_witness_key")


_POLICY_NEEDS_URL: Final = (
    "policy_fail_open",
    "policy_token_file",
    "policy_tls_ca",
    "policy_tls_cert",
    "policy_tls_key",
    "policy_allow_plaintext",
)


def _check_policy(settings: Settings) -> None:
    if not settings.policy_url:
        for name in _POLICY_NEEDS_URL:
            if getattr(settings, name):
                raise ConfigError(f"{name}: needs policy_url")
        return
    scheme, loopback = _policy_endpoint(settings.policy_url)
    if bool(settings.policy_tls_cert) != bool(settings.policy_tls_key):
        raise ConfigError("policy_tls_cert, policy_tls_key: both or none must be set")
    if scheme == "https":
        if settings.policy_allow_plaintext:
            raise ConfigError("policy_allow_plaintext: contradicts a policy_url with https; leave it out")
        return
    if settings.policy_tls_ca or settings.policy_tls_cert:
        raise ConfigError("policy_tls_ca, policy_tls_cert: need a policy_url with https")
    if not loopback and not settings.policy_allow_plaintext:
        raise ConfigError(
            "policy_url: plain http is for loopback; use https, or set policy_allow_plaintext = true"
        )


def _policy_endpoint(url: str) -> tuple[str, bool]:
    """(scheme, whether its host is this machine's loopback)."""
    wrong = ConfigError(
        "policy_url must be http://host:port/path or https://host:port/path, without user, query or fragment"
    )
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise wrong
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    beyond = parts.username is not None or "?" in url or "#" in url
    known = parts.scheme in ("http", "https") and parts.hostname and port != 0
    if not known or beyond or len(parts.path) < 2:
        raise wrong
    host = parts.hostname or ""
    try:
        return parts.scheme, ipaddress.ip_address(host).is_loopback
    except ValueError:
        return parts.scheme, host == "localhost"
