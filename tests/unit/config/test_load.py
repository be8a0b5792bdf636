"""Defaults, precedence, round trips, and the page that is made from the settings."""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ronkms.config import Settings, load_settings
from ronkms.config.document import render_document
from ronkms.config.field import FIELDS
from ronkms.config.load import parse_environment, parse_toml
from ronkms.config.render import render_toml
from ronkms.config.settings import FailOpenClass
from ronkms.domain.audit_sink import AuditSink
from ronkms.errors import ConfigError
from ronkms.policy.external.operation_class import OperationClass

ROOT = Path(__file__).resolve().parents[3]

RUNBOOK_NUMBERS = {
    "KMS_VERIFY_CACHE_MAX": 262144,
    "KMS_VERIFY_CACHE_TTL_MS": 300000,
    "KMS_MAX_INFLIGHT_SIGN": 512,
    "KMS_MAX_INFLIGHT_VERIFY": 1024,
    "KMS_TENANT_SHARE_MIN": 0.05,
    "KMS_BACKEND": "file",
    "KMS_PQ_PRODUCE_HYBRID": False,
    "KMS_PQ_VERIFY_MODE": "and",
    "KMS_PQ_ROLLOUT_PERCENT": 0,
    "KMS_GRPC_ADDR": "",
}


def test_defaults_are_the_runbooks() -> None:
    by_variable = {field.env: field.default for field in FIELDS.values()}
    assert {name: by_variable[name] for name in RUNBOOK_NUMBERS} == RUNBOOK_NUMBERS
    default = Settings()
    assert (default.api.port, default.metrics.port) == (9446, 9909)
    assert default.api.loopback
    assert default.metrics.loopback


def test_variable_wins_over_file_over_default(tmp_path: Path) -> None:
    path = tmp_path / "kms.toml"
    path.write_text('workers = 3\nthreads = 5\nseal = "dev"\n')
    found = load_settings({"RON_CONFIG": str(path), "KMS_THREADS": "6"})
    assert (found.workers, found.threads, found.backlog) == (3, 6, Settings().backlog)


def test_argument_wins_over_variable_for_the_file(tmp_path: Path) -> None:
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.write_text('seal = "dev"\nworkers = 1\n')
    other.write_text('seal = "dev"\nworkers = 2\n')
    assert load_settings({"RON_CONFIG": str(one)}, path=str(other)).workers == 2


def test_sinks_stand_in_tables_or_in_the_variable(tmp_path: Path) -> None:
    path = tmp_path / "kms.toml"
    table = 'name = "siem"\ntarget = "https://siem.example:8443/in?x=1"\npolicy = "required"\n'
    path.write_text(f'seal = "dev"\n[[audit_sinks]]\n{table}')
    (siem,) = load_settings({"RON_CONFIG": str(path)}).audit_sinks
    assert siem.required
    assert siem.place == ("http", "/in?x=1", "siem.example", 8443, True)
    variable = '[{name = "f", target = "file:/f"}, {name = "s", target = "tls://[::1]:6514"}]'
    found = load_settings({"RON_CONFIG": str(path), "KMS_AUDIT_SINKS": variable}).audit_sinks
    assert [sink.place for sink in found] == [("file", "/f", "", 0, False), ("tls", "", "::1", 6514, True)]
    assert not found[0].required


def test_dev_sets_seal_and_directory() -> None:
    found = load_settings({}, dev=True)
    assert (found.seal, found.data_dir) == ("dev", "./.ronkms")
    assert load_settings({"KMS_DATA_DIR": "/srv/x"}, dev=True).data_dir == "/srv/x"


def test_credentials_are_found_where_systemd_puts_them(tmp_path: Path) -> None:
    (tmp_path / "ron-kms.seal-keyfile").write_bytes(bytes(32))
    found = load_settings({"CREDENTIALS_DIRECTORY": str(tmp_path), "KMS_SEAL": "keyfile"})
    assert found.seal_secret_path == str(tmp_path / "ron-kms.seal-keyfile")


def test_the_token_of_the_decision_point_may_be_a_credential(tmp_path: Path) -> None:
    (tmp_path / "ron-kms.policy-token").write_text("t\n")
    environment = {
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        "KMS_SEAL": "dev",
        "KMS_POLICY_URL": "https://policy.example/v1/data/kms",
    }
    assert load_settings(environment).policy_token_file == str(tmp_path / "ron-kms.policy-token")


def test_credentials_do_not_replace_a_named_file(tmp_path: Path) -> None:
    (tmp_path / "ron-kms.seal-keyfile").write_bytes(bytes(32))
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path), "KMS_SEAL": "keyfile", "KMS_SEAL_KEYFILE": "/k"}
    assert load_settings(environment).seal_keyfile == "/k"


def test_tls_opens_other_addresses() -> None:
    environment = {
        "KMS_SEAL": "keyfile",
        "KMS_SEAL_KEYFILE": "/k",
        "KMS_API_ADDR": "[::]:9446",
        "KMS_TLS_CERT": "/c",
        "KMS_TLS_KEY": "/k",
    }
    assert load_settings(environment).tls
    plain = environment | {"KMS_TLS_CERT": "", "KMS_TLS_KEY": "", "KMS_ALLOW_PLAINTEXT": "true"}
    assert not load_settings(plain).tls


def test_a_list_is_an_array_in_the_file_and_has_commas_in_the_variable(tmp_path: Path) -> None:
    path = tmp_path / "kms.toml"
    path.write_text(
        'policy_url = "http://127.0.0.1:8181/v1/data/kms"\npolicy_fail_open = ["verify", "read"]\n'
    )
    environment = {"KMS_SEAL": "dev"}
    assert load_settings(environment, path=str(path)).policy_fail_open == ("verify", "read")
    for text, expected in (("", ()), (" sign , wrap", ("sign", "wrap")), ("admin", ("admin",))):
        changed = environment | {"KMS_POLICY_FAIL_OPEN": text}
        assert load_settings(changed, path=str(path)).policy_fail_open == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8181/v1/data/kms",
        "http://[::1]:8181/v1/data/kms",
        "http://localhost/v1/data/kms/allow",
        "https://policy.example/v1/data/kms",
    ],
)
def test_decision_points(url: str) -> None:
    assert load_settings({"KMS_SEAL": "dev", "KMS_POLICY_URL": url}).policy_url == url


def test_the_classes_are_those_of_the_policy() -> None:
    assert get_args(FailOpenClass) == tuple(OperationClass)


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Settings().workers = 2  # type: ignore[misc]


def test_example_configuration_loads() -> None:
    found = load_settings({}, path=str(ROOT / "configs" / "ron-kms.toml"))
    assert found.dev


def test_document_is_the_settings() -> None:
    assert (ROOT / "docs" / "CONFIG.md").read_text() == render_document()


def test_every_setting_is_documented() -> None:
    for field in FIELDS.values():
        assert field.description
        assert field.group
        assert re.fullmatch(r"KMS_[A-Z0-9_]+", field.env)


_TEXT = st.text(alphabet=st.characters(exclude_characters="\0", codec="utf-8"), max_size=30)


@st.composite
def _sinks(draw: st.DrawFn) -> AuditSink:
    return AuditSink(
        name=draw(st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True)),
        target=draw(st.sampled_from(("file:/a/ü", "tls://[::1]:6514", "https://h/x?y=1"))),
        policy=draw(st.sampled_from(("required", "best_effort"))),
        max_delay_ms=draw(st.integers(100, 600_000)),
        token_file=draw(_TEXT),
    )


@st.composite
def _settings(draw: st.DrawFn) -> Settings:
    return Settings(
        seal=draw(st.sampled_from(("passphrase", "keyfile", "dev"))),
        workers=draw(st.integers(0, 256)),
        tenant_share_min=draw(st.floats(0, 1)),
        verify_only=draw(st.booleans()),
        data_dir=draw(_TEXT.filter(bool)),
        tls_cert=draw(_TEXT),
        pkcs11_module=draw(_TEXT),
        audit_sinks=draw(st.lists(_sinks(), max_size=3).map(tuple)),
        api_addr=f"127.0.0.1:{draw(st.integers(1, 65535))}",
        policy_fail_open=tuple(draw(st.lists(st.sampled_from(["sign", "verify", "read"]), max_size=3))),
    )


@given(_settings())
def test_rendered_settings_read_back(value: Settings) -> None:
    assert Settings(**parse_toml(render_toml(value), origin="x")) == value


@given(st.text(max_size=200))
@settings(max_examples=300)
def test_no_text_breaks_the_file_parser(text: str) -> None:
    try:
        parse_toml(text, origin="x")
    except ConfigError as error:
        assert "\n" not in str(error)


@given(st.sampled_from([*FIELDS]), _TEXT)
@settings(max_examples=300)
def test_no_value_breaks_the_environment_parser(name: str, value: str) -> None:
    try:
        found = parse_environment({FIELDS[name].env: value})
    except ConfigError as error:
        assert str(error) == f"{FIELDS[name].env} must be {FIELDS[name].allowed}"
    else:
        assert set(found) == {name}


@given(st.text(alphabet=string.ascii_uppercase + "_", min_size=1))
def test_unknown_variables_are_refused(suffix: str) -> None:
    variable = f"KMS_{suffix}"
    if variable in {field.env for field in FIELDS.values()}:
        return
    with pytest.raises(ConfigError, match="unknown setting"):
        parse_environment({variable: "1"})
