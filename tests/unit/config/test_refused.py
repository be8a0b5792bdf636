"""Every wrong configuration is one line that names the key, and exit status 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ronkms.config import load_settings
from ronkms.errors import ConfigError

DEV = {"KMS_SEAL": "dev"}
SECRET = "correct-horse-battery"


def sinks(**members: str | int) -> str:
    """One sink, a file unless ``members`` say otherwise, as a TOML value."""
    given = {"name": "a", "target": "file:/a"} | members
    return "[{" + ", ".join(f"{key} = {json.dumps(value)}" for key, value in given.items()) + "}]"


WRONG_SINKS: list[tuple[str, str]] = [
    ("", "KMS_AUDIT_SINKS must be a list of tables"),
    ("[1]", "KMS_AUDIT_SINKS must be a list of tables"),
    ("[]\nworkers = 1", "KMS_AUDIT_SINKS must be a list of tables"),
    ('[{name = "a"}]', "KMS_AUDIT_SINKS[0]: target is missing"),
    ('[{target = "file:/a"}]', "KMS_AUDIT_SINKS[0]: name is missing"),
    (sinks(formt="cef"), "KMS_AUDIT_SINKS[0]: unknown setting formt: did you mean format?"),
    (sinks(name="A b"), "KMS_AUDIT_SINKS[0].name must be 1 to 32 of a-z"),
    (sinks(name="a\n"), "KMS_AUDIT_SINKS[0].name must be 1 to 32 of a-z"),
    (sinks(target="a"), "KMS_AUDIT_SINKS[0].target must be file:/PATH"),
    (sinks(target="file:a"), "KMS_AUDIT_SINKS[0].target must be file:/PATH"),
    (sinks(target="tcp://host"), "KMS_AUDIT_SINKS[0].target must be file:/PATH"),
    (sinks(target="tcp://host:1/x"), "KMS_AUDIT_SINKS[0].target must be file:/PATH"),
    (sinks(target="tcp://[::g]:1"), "KMS_AUDIT_SINKS[0].target must be file:/PATH"),
    (sinks(target="udp://host:70000"), "KMS_AUDIT_SINKS[0].target must be file:/PATH"),
    (sinks(target=f"https://u:{SECRET}@host/"), "KMS_AUDIT_SINKS[0].target must be file:/PATH"),
    (sinks(policy="must"), "KMS_AUDIT_SINKS[0].policy must be one of best_effort, required"),
    (sinks(max_lag="1"), "KMS_AUDIT_SINKS[0].max_lag must be a whole number from 1"),
    (sinks(max_delay_ms=1), "KMS_AUDIT_SINKS[0].max_delay_ms must be a whole number from 100"),
    (sinks(max_lag=5), "audit_sinks: a: max_lag: it is for policy required"),
    (sinks(policy="required", max_backlog=5), "audit_sinks: a: max_backlog: a required sink skips nothing"),
    (sinks(target="udp://h:1", policy="required"), "audit_sinks: a: policy: required needs a target that"),
    (sinks(timeout_ms=100), "audit_sinks: a: timeout_ms: file does not know it; it is for http, tcp, tls"),
    (sinks(facility="local0"), "audit_sinks: a: facility: file does not know it"),
    (sinks(target="http://h/", message_bytes=500), "audit_sinks: a: message_bytes: http does not know it"),
    (sinks(target="unix:/dev/log", resend=5), "audit_sinks: a: resend: unix does not know it"),
    (sinks(target="tcp://h:1", ca_file="/c"), "audit_sinks: a: ca_file: needs a tls: or https: target"),
    (sinks(target="tls://h:1", key_file="/k"), "audit_sinks: a: cert_file, key_file: both or none"),
    (sinks(target="http://h/", token_file="/t"), "audit_sinks: a: token_file: needs https"),
    (sinks(target="file:/var/lib/ron-kms/x"), "audit_sinks: a: target: must be outside the data directory"),
    ('[{name = "a", target = "file:/a"}, {name = "a", target = "file:/b"}]', "the same name stands twice"),
    ('[{name = "a", target = "file:/a"}, {name = "b", target = "file:/a"}]', "the same target stands twice"),
    (f"[{', '.join(9 * ['{}'])}]", "KMS_AUDIT_SINKS: at most 8 sinks"),
]

ENVIRONMENTS: list[tuple[dict[str, str], str]] = [
    ({"KMS_WORKER": "1"}, "KMS_WORKER: did you mean KMS_WORKERS?"),
    ({"KMS_SEAL_PASSPHRASE": SECRET}, "unknown setting KMS_SEAL_PASSPHRASE"),
    ({"KMS_": "1"}, "unknown setting KMS_"),
    ({"KMS_kms_workers": "1"}, "unknown setting KMS_kms_workers"),
    ({"KMS_WORKERS": "two"}, "KMS_WORKERS must be a whole number from 0 to 256"),
    ({"KMS_WORKERS": ""}, "KMS_WORKERS must be a whole number from 0 to 256"),
    ({"KMS_WORKERS": "-1"}, "KMS_WORKERS must be a whole number from 0 to 256"),
    ({"KMS_WORKERS": "1.5"}, "KMS_WORKERS must be a whole number from 0 to 256"),
    ({"KMS_WORKERS": "257"}, "KMS_WORKERS must be a whole number from 0 to 256"),
    ({"KMS_THREADS": "0"}, "KMS_THREADS must be a whole number from 1 to 64"),
    ({"KMS_KEEPALIVE_MS": "5000"}, "KMS_KEEPALIVE_MS must be a whole number from 0 to 4900"),
    ({"KMS_TENANT_SHARE_MIN": "1.01"}, "KMS_TENANT_SHARE_MIN must be a number from 0 to 1"),
    ({"KMS_TENANT_SHARE_MIN": "nan"}, "KMS_TENANT_SHARE_MIN must be a number from 0 to 1"),
    ({"KMS_TENANT_SHARE_MIN": "inf"}, "KMS_TENANT_SHARE_MIN must be a number from 0 to 1"),
    ({"KMS_PQ_ROLLOUT_PERCENT": "101"}, "KMS_PQ_ROLLOUT_PERCENT must be a whole number from 0 to 100"),
    ({"KMS_POLICY_ACCEPT_LOSS": "-1"}, "KMS_POLICY_ACCEPT_LOSS must be a whole number from 0 on"),
    ({"KMS_PQ_VERIFY_MODE": "xor"}, "KMS_PQ_VERIFY_MODE must be one of or, and, pq_only"),
    ({"KMS_PQ_PRODUCE_HYBRID": "yes"}, "KMS_PQ_PRODUCE_HYBRID must be true or false"),
    ({"KMS_SEAL": SECRET}, "KMS_SEAL must be one of passphrase, keyfile, dev"),
    ({"KMS_LOG_LEVEL": "trace"}, "KMS_LOG_LEVEL must be one of debug, info, warning, error"),
    ({"KMS_LOG_FORMAT": ""}, "KMS_LOG_FORMAT must be one of logfmt, json"),
    ({"KMS_AUDIT_SYNC": "none"}, "KMS_AUDIT_SYNC must be one of group, all"),
    ({"KMS_API_ADDR": ""}, "KMS_API_ADDR must be IP:port"),
    ({"KMS_API_ADDR": ":9446"}, "KMS_API_ADDR must be IP:port"),
    ({"KMS_API_ADDR": "127.0.0.1"}, "KMS_API_ADDR must be IP:port"),
    ({"KMS_API_ADDR": "127.0.0.1:0"}, "KMS_API_ADDR must be IP:port"),
    ({"KMS_API_ADDR": "127.0.0.1:65536"}, "KMS_API_ADDR must be IP:port"),
    ({"KMS_API_ADDR": "127.0.0.256:80"}, "KMS_API_ADDR must be IP:port"),
    ({"KMS_API_ADDR": "kms.example:9446"}, "KMS_API_ADDR must be IP:port"),
    ({"KMS_API_ADDR": "::1:9446"}, "KMS_API_ADDR must be IP:port"),
    ({"KMS_API_ADDR": "127.0.0.1:9446\n"}, "KMS_API_ADDR must be IP:port"),
    ({"KMS_METRICS_ADDR": "127.0.0.1:9446"}, "metrics_addr: must differ from api_addr"),
    ({"KMS_DATA_DIR": ""}, "KMS_DATA_DIR must be a path, not empty"),
    ({"KMS_GRPC_ADDR": "127.0.0.1:9445"}, "grpc_addr: gRPC is not built in this version"),
    ({"KMS_GRPC_ADDR": "x"}, "KMS_GRPC_ADDR must be IP:port, like 127.0.0.1:9445, or empty"),
    ({"KMS_BACKEND": "pkcs11"}, "backend: pkcs11 is not built in this version; use file"),
    ({"KMS_BACKEND": "tpm"}, "backend: tpm is not built in this version; use file"),
    ({"KMS_STORE": "postgres"}, "store: postgres is not built in this version; use file"),
    ({"KMS_BUS": "nats"}, "bus: nats is not built in this version; use local"),
    ({"KMS_SEAL": "tpm"}, "seal: tpm is not built in this version"),
    ({"KMS_ATTESTATION_REQUIRED": "true"}, "attestation_required: attestation is not built"),
    *(({"KMS_AUDIT_SINKS": text}, message) for text, message in WRONG_SINKS),
    ({"KMS_SEAL": "passphrase"}, "seal_passphrase_file: seal passphrase needs it"),
    ({"KMS_SEAL": "keyfile"}, "seal_keyfile: seal keyfile needs it"),
    ({"KMS_SEAL_KEYFILE": "/k"}, "seal_keyfile: contradicts seal dev"),
    ({"KMS_SEAL_PASSPHRASE_FILE": "/k"}, "seal_passphrase_file: contradicts seal dev"),
    ({"KMS_API_ADDR": "0.0.0.0:9446"}, "seal: dev serves loopback only"),
    ({"KMS_METRICS_ADDR": "[::]:9909"}, "seal: dev serves loopback only"),
    (
        {"KMS_SEAL": "keyfile", "KMS_SEAL_KEYFILE": "/k", "KMS_API_ADDR": "0.0.0.0:9446"},
        "api_addr: an address that is not loopback needs tls_cert and tls_key, or allow_plaintext = true",
    ),
    ({"KMS_TLS_CERT": "/c"}, "tls_cert, tls_key: both or none"),
    ({"KMS_TLS_KEY": "/c"}, "tls_cert, tls_key: both or none"),
    ({"KMS_TLS_CLIENT_CA": "/c"}, "tls_client_ca: needs tls_cert and tls_key"),
    ({"KMS_CAP_BIND_REQUIRED": "true"}, "cap_bind_required: needs tls_client_ca"),
    (
        {"KMS_CAP_BIND_REQUIRED": "true", "KMS_TLS_CERT": "/c", "KMS_TLS_KEY": "/k"},
        "cap_bind_required: needs tls_client_ca",
    ),
    ({"KMS_POLICY_FAIL_OPEN": "sign"}, "policy_fail_open: needs policy_url"),
    ({"KMS_POLICY_TOKEN_FILE": "/t"}, "policy_token_file: needs policy_url"),
    ({"KMS_POLICY_FAIL_OPEN": "sign,everything"}, "KMS_POLICY_FAIL_OPEN must be a list of sign, verify,"),
    ({"KMS_POLICY_FAIL_OPEN": "sign,,read"}, "KMS_POLICY_FAIL_OPEN must be a list of sign, verify,"),
    *(
        ({"KMS_POLICY_URL": url}, "policy_url must be http://host:port/path")
        for url in (
            "127.0.0.1:8181/v1",
            "ftp://127.0.0.1/v1",
            "http://127.0.0.1:8181",
            "http://127.0.0.1:8181/",
            "http:///v1/data",
            "http://127.0.0.1:0/v1",
            "http://127.0.0.1:99999/v1",
            "http://127.0.0.1:x/v1",
            f"http://user:{SECRET}@127.0.0.1/v1",
            "http://127.0.0.1/v1?x=1",
            "http://127.0.0.1/v1#x",
            "http://127.0.0.1/v1 x",
            "http://127.0.0.1/v1\r\nX: y",
            "http://[::1/v1",
        )
    ),
    ({"KMS_POLICY_URL": "http://192.0.2.1/v1/data"}, "policy_url: plain http is for loopback"),
    ({"KMS_POLICY_URL": "http://policy.example/v1/data"}, "policy_url: plain http is for loopback"),
    (
        {"KMS_POLICY_URL": "https://policy.example/v1", "KMS_POLICY_ALLOW_PLAINTEXT": "true"},
        "policy_allow_plaintext: contradicts a policy_url with https",
    ),
    (
        {"KMS_POLICY_URL": "https://policy.example/v1", "KMS_POLICY_TLS_CERT": "/c"},
        "policy_tls_cert, policy_tls_key: both or none",
    ),
    (
        {"KMS_POLICY_URL": "http://127.0.0.1/v1", "KMS_POLICY_TLS_CA": "/c"},
        "policy_tls_ca, policy_tls_cert: need a policy_url with https",
    ),
    ({"KMS_POLICY_TIMEOUT_MS": "0"}, "KMS_POLICY_TIMEOUT_MS must be a whole number from 10 to 10000"),
]

FILES: list[tuple[str, str]] = [
    ("worker = 1", "unknown setting worker: did you mean workers?"),
    ("[server]\nworkers = 1", "unknown setting server"),
    ('workers = "2"', "workers must be a whole number from 0 to 256"),
    ("workers = 2.0", "workers must be a whole number from 0 to 256"),
    ("workers = true", "workers must be a whole number from 0 to 256"),
    ("verify_only = 1", "verify_only must be true or false"),
    ('verify_only = "true"', "verify_only must be true or false"),
    ("tenant_share_min = nan", "tenant_share_min must be a number from 0 to 1"),
    ("api_addr = 9446", "api_addr must be IP:port"),
    ("seal = ['dev']", "seal must be one of"),
    ('data_dir = "a\\u0000b"', "data_dir must be a path"),
    ("policy_fail_open = 'sign'", "policy_fail_open must be a list of sign"),
    ("policy_fail_open = [1]", "policy_fail_open must be a list of sign"),
    ("workers = 1\nworkers = 2", "not TOML"),
    ("workers =", "not TOML"),
    ("x = " + "[" * 5000, "not TOML"),
    ('"a\\nb" = 1', "unknown setting a b"),
    ("# " + "x" * (1 << 20), "at most 1048576 bytes"),
]


@pytest.mark.parametrize(("environment", "message"), ENVIRONMENTS)
def test_environment(environment: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings(DEV | environment)
    _is_one_line(str(refused.value), message)


@pytest.mark.parametrize(("text", "message"), FILES)
def test_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "kms.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_settings(DEV, path=str(path))
    _is_one_line(str(refused.value), message)
    assert str(refused.value).startswith(str(path))


def _is_one_line(text: str, message: str) -> None:
    assert message in text
    assert "\n" not in text
    assert SECRET not in text


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"# \xe9")
    for path, message in (
        (tmp_path / "none", "cannot read the configuration: No such file"),
        (tmp_path, "cannot read the configuration: Is a directory"),
        (tmp_path / "latin", "a configuration is UTF-8 text"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_settings(DEV, path=str(path))


def test_dev_contradicts_another_seal() -> None:
    with pytest.raises(ConfigError, match="--dev serves with seal dev"):
        load_settings({"KMS_SEAL": "keyfile", "KMS_SEAL_KEYFILE": "/k"}, dev=True)


def test_command_writes_one_line_and_exits_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from ronkms.cli.ron_kms import main; main()", "--dev"],
        env={"KMS_WORKERS": "many", "PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=tmp_path,  # not the checkout: its sources would hide the installed package
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: KMS_WORKERS must be a whole number from 0 to 256\n"
