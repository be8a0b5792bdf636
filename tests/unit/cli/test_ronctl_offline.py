"""``ronctl`` without a server: exit status, one-line errors, offline commands."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click
import pytest

from ronkms.capability.attenuate import read_token
from ronkms.cli.ronctl import run
from ronkms.cli.ronctl_parameters import duration
from ronkms.cli.ronctl_target import Target
from ronkms.domain.operation import Operation
from ronkms.errors import BadRequest, ConfigError
from tests.unit.audit.log_files import leaf, make_lines, write_log
from tests.unit.capability.issuer import Issuer


@pytest.fixture(autouse=True)
def _no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("RON_CONFIG", "RON_URL", "RON_TOKEN_FILE", "KMS_DATA_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("12h", 43200), ("7d", 604800)]
)
def test_durations(text: str, seconds: int) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "-1h", "1.5h", "1w", "1h30m", " 1h", "1h\n", "9999999999"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(click.BadParameter):
        duration(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["cap", "mint", "--tenant", "t", "--op", "sign", "--key", "*", "--ttl", "1h"],
        ["cap", "revoke", "ab" * 16],
        ["keys", "list"],
        ["config", "get"],
        ["audit", "head"],
    ],
)
def test_without_a_server(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--data-dir", str(tmp_path), *arguments]) == 4
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"error: no server runs on {tmp_path}; start it, or name another --data-dir\n"


def test_tail_of_a_directory_without_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--data-dir", str(tmp_path), "tail", "--since", "10m"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"error: {tmp_path} holds no bus events; name another --data-dir\n"


def test_attenuate_and_inspect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    issuer = Issuer()
    file, message = tmp_path / "token", tmp_path / "message"
    file.write_text(issuer.mint.mint("acme", [(Operation.SIGN, "orders-*")], 3600).token + "\n")
    message.write_bytes(b"hello")
    digest = hashlib.sha256(b"hello").hexdigest()
    arguments = ["--op", "sign", "--key", "orders-1", "--key", "orders-x*", "--alg", "Ed25519"]
    assert run(["cap", "attenuate", f"@{file}", *arguments, "--message-file", str(message)]) == 0
    token = capsys.readouterr().out.strip()
    assert read_token(token).block_source(1).splitlines() == [
        'check if operation($value), {"sign"}.contains($value);',
        'check if key($key), {"orders-1"}.contains($key) or key($key), $key.starts_with("orders-x");',
        'check if alg($value), {"Ed25519"}.contains($value);',
        f'check if digest($value), {{"{digest}"}}.contains($value);',
    ]
    held = issuer.verifier.authenticate(token)
    assert held.compiled
    held.require(Operation.SIGN, key_id="orders-x1", alg="Ed25519", message_digest=bytes.fromhex(digest))
    assert run(["cap", "inspect", token]) == 0
    shown = capsys.readouterr().out
    assert f"token id   {held.token_id}" in shown
    assert 'tenant("acme");' in shown


@pytest.mark.parametrize("token", ["", "nonsense", "@/nowhere"])
def test_inspect_refuses(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cap", "inspect", token]) in (1, 2)
    assert capsys.readouterr().out == ""


def test_audit_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = make_lines(4)
    write_log(tmp_path, [lines])
    assert run(["audit", "verify", str(tmp_path), "--anchor", f"3:{leaf(lines[2])}"]) == 0
    assert capsys.readouterr().out.endswith(f"head 4:{leaf(lines[3])}\n")
    assert run(["audit", "verify", str(tmp_path), "--anchor", f"5:{'ab' * 32}"]) == 3
    shown = capsys.readouterr().err
    assert "the anchor knows 5" in shown
    assert shown.splitlines()[-1].startswith("error: ")
    write_log(tmp_path, [lines[:1] + lines[2:]])
    assert run(["audit", "verify", str(tmp_path)]) == 3
    assert run(["audit", "verify", str(tmp_path / "nowhere")]) == 1
    assert run(["audit", "verify", str(tmp_path), "--anchor", "3"]) == 2


def test_audit_export(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    lines = make_lines(5)
    write_log(tmp_path, [lines[:2], lines[2:]])
    since = ["--since", "2026-11-24T20:00:01.5Z", "--until", "2026-11-24T21:00:04.000004+01:00"]
    assert run(["audit", "export", str(tmp_path), *since, "--tenant", "acme", "--op", "sign"]) == 0
    assert capsysbinary.readouterr().out == lines[2] + b"\n" + lines[3] + b"\n"
    write_log(tmp_path, [lines[:2], lines[3:]])
    assert run(["audit", "export", str(tmp_path), "--format", "cef"]) == 3
    shown = capsysbinary.readouterr()
    assert shown.out.count(b"\n") == 2
    assert b"audit-00000002.jsonl:1 does not continue the chain" in shown.err


@pytest.mark.parametrize("option", [["--since", "yesterday"], ["--until", "2026-11-24"], ["--format", "xml"]])
def test_bad_options_of_audit_export(tmp_path: Path, option: list[str]) -> None:
    assert run(["audit", "export", str(tmp_path), *option]) == 2


def test_config_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "kms.toml"
    file.write_text('seal = "dev"\n')
    assert run(["config", "check", str(file)]) == 0
    file.write_text('seal = "wax"\n')
    assert run(["config", "check", str(file)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert run(["config", "check", str(tmp_path / "nowhere")]) == 2


def test_where_the_data_directory_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Target().data_directory == Path("/var/lib/ron-kms")
    (tmp_path / ".ronkms").mkdir()
    (tmp_path / ".ronkms" / "admin.sock").touch()
    assert Target().data_directory == tmp_path / ".ronkms"
    file = tmp_path / "kms.toml"
    file.write_text('data_dir = "/srv/kms"\nseal = "passphrase"\n')
    assert Target(config=str(file)).data_directory == Path("/srv/kms")
    monkeypatch.setenv("RON_CONFIG", str(file))
    assert Target().data_directory == Path("/srv/kms")
    monkeypatch.setenv("KMS_DATA_DIR", "/env/kms")
    assert Target().data_directory == Path("/env/kms")
    assert Target(data_dir="given").data_directory == tmp_path / "given"
    monkeypatch.delenv("KMS_DATA_DIR")
    file.write_text("no toml")
    with pytest.raises(ConfigError):
        _ = Target().data_directory


def test_labels_need_a_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--data-dir", str(tmp_path), "keys", "create", "--alg", "Ed25519", "--label", "blue"]) == 1
    assert capsys.readouterr().err == "error: a label has the form NAME=VALUE\n"


@pytest.mark.parametrize("url", ["ftp://x", "x:1", "http://", "http://h:99999", "http://h/path"])
def test_bad_urls(url: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t")
    with pytest.raises(BadRequest):
        Target(url=url, token_file=str(token)).api([Operation.READ])


def test_a_client_shows_no_token(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("very-secret")
    assert "very-secret" not in repr(Target(url="http://h:1", token_file=str(token)).api([Operation.READ]))


def test_an_api_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = tmp_path / "token"
    token.write_text("very-secret")
    assert run(["--url", "http://127.0.0.1:1", "--token-file", str(token), "keys", "list"]) == 4
    shown = capsys.readouterr().err
    assert shown.startswith("error: the API at 127.0.0.1:1 does not answer")
    assert "very-secret" not in shown
