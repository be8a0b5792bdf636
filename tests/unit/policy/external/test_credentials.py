"""TLS towards the decision point follows its files; the bearer token's tests are with the client's."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path

import pytest

from ronkms.errors import ConfigError
from ronkms.policy.external.credentials import ClientTls
from tests.integration.certificates import Authority


def test_a_renewed_certificate_is_shown_from_then_on(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    first, second = authority.issue("first"), authority.issue("second")
    cert, key = tmp_path / "shown.pem", tmp_path / "shown.key"
    shutil.copy(first.cert, cert)
    shutil.copy(first.key, key)
    tls = ClientTls(str(authority.cert), str(cert), str(key))
    before = tls.current()
    assert tls.current() is before
    shutil.copy(second.cert, cert)
    # Between the two copies they do not fit: what was good stays in use.
    assert tls.current() is before
    shutil.copy(second.key, key)
    after = tls.current()
    assert after is not before
    assert tls.current() is after
    key.unlink()
    assert tls.current() is after


def test_the_name_is_checked_and_the_protocol_is_no_older_than_1_2(tmp_path: Path) -> None:
    context = ClientTls(str(Authority(tmp_path).cert), "", "").current()
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_files_that_cannot_be_used_stop_the_start(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("pair")
    (tmp_path / "empty").write_text("")
    for ca, cert, key in (
        (tmp_path / "none", "", ""),
        (tmp_path / "empty", "", ""),
        (authority.cert, pair.cert, tmp_path / "none"),
        (authority.cert, pair.cert, pair.cert),
    ):
        with pytest.raises(
            ConfigError, match="policy_tls_ca, policy_tls_cert, policy_tls_key: cannot be used"
        ):
            ClientTls(str(ca), str(cert), str(key))
