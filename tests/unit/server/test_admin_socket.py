"""The admin socket and its operations, over a real socket with a context in memory."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ronkms.audit.digest_epochs import Epoch
from ronkms.audit.note import NoteKey
from ronkms.audit.sinks.board import SinkBoard, State
from ronkms.cli.ronctl_admin import ask
from ronkms.config.settings import Settings
from ronkms.domain.audit_sink import AuditSink
from ronkms.domain.operation import DURABLE, Operation, Outcome
from ronkms.errors import AuditUnavailable, BadRequest, Conflict, Denied, KmsError, NotFound, Unavailable
from ronkms.server import admin_messages as messages
from ronkms.server.admin_messages import SOCKET
from ronkms.server.admin_socket import AdminSocket, reachable
from tests.unit.capability.issuer import BindingSeal, MemoryRegistry


class RecordingAudit:
    """Keeps records; ``broken`` refuses them."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.broken = False

    @property
    def head(self) -> tuple[int, str]:
        return len(self.records), "ab" * 32

    def record(self, **fields: Any) -> int:
        if self.broken:
            raise AuditUnavailable("the audit log cannot be written")
        self.records.append(fields)
        return len(self.records) - 1


class Sweeper:
    """The part of the arena that is used; ``fault`` stands for a bug."""

    fault = False

    def cache_sweep(self, all_entries: bool = False) -> int:
        if self.fault:
            raise RuntimeError("secret internals")
        return 7 if all_entries else 3


class FixedKeys:
    """The keys of an audit log."""

    key_set = 1

    def rotate_keys(self) -> tuple[NoteKey, ...]:
        return (NoteKey("log", 1, bytes(32)),)


class Epochs:
    """Of digest keys."""

    def __init__(self) -> None:
        self.made = [Epoch(number=1, sealed=b"s", check="ab", record=0, created_at=7)]

    def rotate(self) -> Epoch:
        self.made.append(Epoch(number=len(self.made) + 1, sealed=b"s", check="cd", record=9, created_at=8))
        return self.made[-1]

    def destroy(self, number: int) -> Epoch:
        raise Conflict(f"epoch {number} is in use")

    def epochs(self) -> tuple[Epoch, ...]:
        return tuple(self.made)

    def digest(self, epoch: int, data: bytes) -> str:
        return f"{epoch}:{data.decode()}"


class Context:
    """An application in memory."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.settings = Settings(data_dir=str(directory), **settings)
        self.arena = Sweeper()
        self.audit = RecordingAudit()
        self.custody = BindingSeal()
        self.capability_registry = MemoryRegistry()
        self.digest_rotation = Epochs()
        self.sink_board = SinkBoard([sink.name for sink in self.settings.audit_sinks])

    def missing(self) -> list[str]:
        return ["bus"]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    made = Context(tmp_path)
    AdminSocket(made, FixedKeys()).serve_in_thread()  # type: ignore[arg-type]
    return made


MINT = messages.MintArguments("acme", [Operation.SIGN], 60, ["orders-*"])


def say(context: Context, data: bytes) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(context.settings.data_path / "admin.sock"))
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    decoded: dict[str, Any] = json.loads(answer)
    return decoded


def test_status_and_head_are_not_audited(context: Context, tmp_path: Path) -> None:
    context.audit.broken = True
    found = ask(tmp_path, "status", messages.Status)
    assert (found.missing, found.api, found.capability_root) == (["bus"], "127.0.0.1:9446", 1)
    assert ask(tmp_path, "audit.head", messages.AuditHead) == messages.AuditHead(0, "ab" * 32)


def test_digest_keys(context: Context, tmp_path: Path) -> None:
    made = ask(tmp_path, "audit.rotate-digest-key", messages.DigestEpoch)
    assert (made.number, made.record, made.check, made.escrowed_to) == (2, 9, "cd", "")
    found = ask(tmp_path, "audit.digest-keys", messages.DigestEpochs)
    assert [each.number for each in found.epochs] == [1, 2]
    arguments = messages.DigestArguments(2, b"a guess")
    assert ask(tmp_path, "audit.digest", messages.InputDigest, arguments).digest == "2:a guess"
    with pytest.raises(KmsError, match="in use"):
        ask(tmp_path, "audit.destroy-digest-key", messages.DigestEpoch, messages.EpochArguments(2))
    details = [record["detail"] for record in context.audit.records]
    assert details == [
        "audit.rotate-digest-key entry=2 {}",
        "audit.rotate-digest-key entry=2 {}",
        "audit.digest-keys {}",
        'audit.digest {"epoch":2}',
        'audit.destroy-digest-key entry=3 {"epoch":2}',
        'audit.destroy-digest-key entry=3 {"epoch":2}',
    ]


def test_sinks_are_told_without_a_record_and_tested_with_one(tmp_path: Path) -> None:
    sinks = (AuditSink(name="siem", target="https://h/in?key=x", policy="required", format="ocsf"),)
    context = Context(tmp_path, audit_sinks=sinks)
    AdminSocket(context, FixedKeys()).serve_in_thread()  # type: ignore[arg-type]
    board = context.sink_board
    board.beat(os.getpid())
    board.rows[0].show(State.DOWN, holding=True, record=0, reason="refused")
    found = ask(tmp_path, "audit.sinks", messages.AuditSinks)
    assert context.audit.records == []
    assert (found.pid, found.records) == (os.getpid(), 0)
    (sink,) = found.sinks
    assert (sink.name, sink.target, sink.format) == ("siem", "https://h/in", "ocsf"), (
        "no query: it may hold a key"
    )
    assert (sink.state, sink.holding, sink.reason, sink.lag) == ("down", True, "refused", 0)
    test = ask(tmp_path, "audit.sinks.test", messages.SinkTest, messages.SinkArguments("siem"))
    assert test.record == 0, "the record of its intent"
    assert [record["phase"] for record in context.audit.records] == ["intent", "outcome"]
    assert ask(tmp_path, "audit.sinks", messages.AuditSinks).sinks[0].lag == 2
    with pytest.raises(NotFound, match="no audit sink other; this server has siem"):
        ask(tmp_path, "audit.sinks.test", messages.SinkTest, messages.SinkArguments("other"))


def test_changes_have_intent_and_outcome(context: Context, tmp_path: Path) -> None:
    minted = ask(tmp_path, "cap.mint", messages.MintedToken, MINT)
    intent, outcome = context.audit.records
    assert (intent["phase"], intent["outcome"], intent["op"]) == ("intent", Outcome.OK, Operation.ADMIN)
    assert (outcome["phase"], outcome["tenant"], outcome["token_id"]) == (
        "outcome",
        "acme",
        f"uid:{os.geteuid()}",
    )
    assert intent["corr_id"] == outcome["corr_id"] != ""
    assert minted.token_id in outcome["detail"]
    assert minted.token not in str(context.audit.records)
    assert Operation.ADMIN in DURABLE


def test_nothing_is_done_without_an_audit_record(context: Context, tmp_path: Path) -> None:
    context.audit.broken = True
    with pytest.raises(AuditUnavailable):
        ask(tmp_path, "cap.revoke", messages.RevokedBlock, messages.RevokeArguments("ab" * 16))
    with pytest.raises(AuditUnavailable):
        ask(tmp_path, "cap.rotate", messages.RootNumber, messages.RotateArguments(0))
    with pytest.raises(AuditUnavailable):
        ask(tmp_path, "config.get", messages.ConfigText)
    assert context.capability_registry.state.revoked == {}
    assert context.capability_registry.state.newest == 1


def test_refusals_are_audited_with_their_code(context: Context, tmp_path: Path) -> None:
    arguments = messages.MintArguments("acme", [Operation.SIGN], 10**9)
    with pytest.raises(BadRequest, match="ttl must be"):
        ask(tmp_path, "cap.mint", messages.MintedToken, arguments)
    assert [record["outcome"] for record in context.audit.records] == [Outcome.OK, Outcome.REJECTED]
    assert context.audit.records[1]["code"] == "bad_request"
    with pytest.raises(NotFound):
        ask(tmp_path, "cap.withdraw", messages.RootNumber, messages.WithdrawArguments(9))


def test_operations(context: Context, tmp_path: Path) -> None:
    assert ask(tmp_path, "cache.sweep", messages.Swept, messages.SweepArguments(all=True)).dropped == 7
    assert ask(tmp_path, "cache.sweep", messages.Swept).dropped == 3
    for number in range(501):
        context.capability_registry.append(_revoked(number))
    listed = ask(tmp_path, "cap.revoked", messages.RevokedBlocks)
    assert (listed.count, len(listed.revoked), listed.revoked[0].id) == (501, 500, f"{500:032x}")
    assert ask(tmp_path, "cap.rotate", messages.RootNumber, messages.RotateArguments(60)).root == 2
    roots = ask(tmp_path, "cap.roots", messages.CapabilityRoots).roots
    assert [(root.number, root.until is None) for root in roots] == [(1, False), (2, True)]
    assert 'data_dir = "' in ask(tmp_path, "config.get", messages.ConfigText).toml


def _revoked(number: int) -> Any:
    from ronkms.capability.state import Revoked

    return Revoked(f"{number:032x}", 1, number)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{}\n",
        b"[]\n",
        b"\xff\xfe\n",
        b'{"v":1,"op":"status"',
        b'{"v":2,"op":"status"}\n',
        b'{"v":1,"op":"status","more":1}\n',
        b'{"v":1,"op":"status","args":{"more":1}}\n',
        b'{"v":1,"op":"cap.mint","args":{"tenant":"a","ops":["fly"],"ttl":1}}\n',
        b'{"v":1,"op":"cap.mint","args":{"tenant":"a","ops":[],"ttl":1}}\n',
        b'{"v":1,"op":"cap.mint","args":{"tenant":"a","ops":["sign"],"ttl":"1"}}\n',
        b'{"v":1,"op":"cap.mint","args":[]}\n',
        b'{"v":1,"op":"status","corr_id":"a b"}\n',
        b"x" * 70_000,
        b"[" * 60_000 + b"\n",
    ],
)
def test_malformed_requests(context: Context, line: bytes) -> None:
    before = list(context.capability_registry.entries)
    answer = say(context, line)
    assert answer["error"]["code"] == "bad_request"
    assert context.capability_registry.entries == before
    assert context.audit.records == []


def test_unknown_operation_names_those_that_are(context: Context) -> None:
    answer = say(context, b'{"v":1,"op":"cap.fly"}\n')
    assert answer["error"]["code"] == "not_found"
    assert "cap.mint" in answer["error"]["message"]


def test_a_bug_in_one_request_ends_nothing(context: Context, tmp_path: Path) -> None:
    context.arena.fault = True
    with pytest.raises(KmsError, match="see the server's log") as caught:
        ask(tmp_path, "cache.sweep", messages.Swept)
    assert "secret internals" not in str(caught.value)
    assert ask(tmp_path, "status", messages.Status).pid


def test_other_users_are_refused(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nobody:
        size = 12

        @staticmethod
        def unpack(_: bytes) -> tuple[int, int, int]:
            return 1, 65534, 65534

    monkeypatch.setattr("ronkms.server.admin_socket._PEER", Nobody)
    with pytest.raises(Denied, match="as root"):
        ask(tmp_path, "cap.mint", messages.MintedToken, MINT)
    assert context.audit.records == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_kernel_tells_other_users_apart() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        AdminSocket(Context(directory), FixedKeys()).serve_in_thread()  # type: ignore[arg-type]
        directory.chmod(0o755)
        program = (
            "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
            "print(s.recv(4096).decode())"
        )
        command = ["/usr/bin/env", "python3", "-c", program, str(directory / "admin.sock")]
        shut_out = subprocess.run(command, user=65534, cwd="/", capture_output=True, text=True)
        assert "PermissionError" in shut_out.stderr
        (directory / "admin.sock").chmod(0o666)
        refused = subprocess.run(command, user=65534, cwd="/", capture_output=True, text=True)
        assert '"denied"' in refused.stdout


def test_many_connections_and_silent_ones(context: Context, tmp_path: Path) -> None:
    path = str(tmp_path / "admin.sock")
    silent = [socket.socket(socket.AF_UNIX) for _ in range(10)]
    for connection in silent:
        connection.connect(path)
    for _ in range(40):
        ask(tmp_path, "status", messages.Status)
    for connection in silent:
        connection.close()
    assert ask(tmp_path, "status", messages.Status).version


def test_a_path_longer_than_an_address(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90) / ("e" * 90)
    deep.mkdir(parents=True)
    AdminSocket(Context(deep), FixedKeys()).serve_in_thread()  # type: ignore[arg-type]
    assert ask(deep, "status", messages.Status).pid
    assert (deep / "admin.sock").stat().st_mode & 0o777 == 0o600


def test_a_socket_left_behind_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "admin.sock"))
    with pytest.raises(Unavailable, match="no server runs"):
        ask(tmp_path, "status", messages.Status)
    AdminSocket(Context(tmp_path), FixedKeys()).serve_in_thread()  # type: ignore[arg-type]
    assert ask(tmp_path, "status", messages.Status).pid


def test_dev_writes_a_private_token(tmp_path: Path) -> None:
    (tmp_path / "capability").mkdir()
    AdminSocket(Context(tmp_path, seal="dev"), FixedKeys()).serve_in_thread()  # type: ignore[arg-type]
    file = tmp_path / "capability" / "admin.token"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().endswith("\n")


def test_rotated_audit_keys_are_recorded_by_their_ids(context: Context) -> None:
    key = NoteKey("log", 1, bytes(32))
    answer = say(context, b'{"v":1,"op":"audit.rotate"}\n')
    assert answer["result"] == {"keys": [key.encoded()]}
    last = context.audit.records[-1]
    assert (last["phase"], last["detail"]) == ("outcome", f"audit.rotate entry=2 ids={key.id.hex()}")


def test_a_server_that_ends_before_it_answered_is_told_from_none(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        with reachable(tmp_path / SOCKET) as address:
            listener.bind(address)
        listener.listen(1)

        def end() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)

        ending = Thread(target=end)
        ending.start()
        with pytest.raises(Unavailable, match=r"ended before it had answered cap\.roots"):
            ask(tmp_path, "cap.roots", messages.CapabilityRoots)
        ending.join()
