"""The HTTP client of the decision point, against a real server in this process and its faults."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import Any

import pytest

from ronkms.errors import ConfigError
from ronkms.policy.external import name_lookup
from ronkms.policy.external.answer import parse_answer
from ronkms.policy.external.credentials import BearerToken
from ronkms.policy.external.decision_point import DecisionPoint, Fault, PointError
from ronkms.policy.external.name_lookup import NameLookup
from ronkms.policy.external.question import encode_question, probe
from tests.e2e.support.decision_server import Behaviour, DecisionServer

BODY = encode_question(probe(), "c", 1)
TIMEOUT = 0.5

MakePoint = Callable[..., DecisionPoint]


@pytest.fixture
def server() -> Iterator[DecisionServer]:
    made = DecisionServer()
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def point(server: DecisionServer) -> Iterator[Callable[..., DecisionPoint]]:
    made: list[DecisionPoint] = []

    def make(**more: Any) -> DecisionPoint:
        chosen = {"connections": 2, "tls": None, "token": None} | more
        made.append(DecisionPoint(server.url, **chosen))
        return made[-1]

    yield make
    for each in made:
        each.close()


def ask(of: DecisionPoint, timeout: float = 5.0) -> bool:
    return parse_answer(of.ask(BODY, monotonic() + timeout)).allow


def fault_of(of: DecisionPoint, timeout: float = 5.0) -> Fault:
    with pytest.raises(PointError) as caught:
        of.ask(BODY, monotonic() + timeout)
    return caught.value.fault


def test_one_connection_serves_question_after_question(server: DecisionServer, point: MakePoint) -> None:
    asking = point()
    for expected in (True, False, True):
        server.behaviour = Behaviour(default=expected)
        assert ask(asking) is expected
    server.behaviour = Behaviour(fault="chunked")
    assert ask(asking) is True
    assert ask(asking) is True
    assert server.connections == 1
    assert server.asked[0]["operation"] == "probe"


@pytest.mark.parametrize("manner", ["not_kept", "http_1_0"])
def test_a_server_that_keeps_no_connection(server: DecisionServer, point: MakePoint, manner: str) -> None:
    asking = point()
    for expected in (True, False, True):
        server.behaviour = Behaviour(fault=manner, default=expected)
        assert ask(asking) is expected
    assert server.connections == 3


@pytest.mark.parametrize(
    ("behaviour", "fault"),
    [
        ({"fault": "garbage"}, None),
        ({"fault": "status", "status": 500}, Fault.BAD_ANSWER),
        ({"fault": "status", "status": 204}, Fault.BAD_ANSWER),
        ({"fault": "status", "status": 404}, Fault.BAD_ANSWER),
        ({"fault": "redirect"}, Fault.BAD_ANSWER),
        ({"fault": "oversized"}, Fault.BAD_ANSWER),
        ({"fault": "oversized_chunked"}, Fault.BAD_ANSWER),
        ({"fault": "cut"}, Fault.BAD_ANSWER),
        ({"fault": "endless_headers"}, Fault.BAD_ANSWER),
        ({"fault": "not_http"}, Fault.BAD_ANSWER),
        ({"fault": "close"}, Fault.UNREACHABLE),
        ({"bearer": "needed"}, Fault.BAD_ANSWER),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_faults(
    server: DecisionServer, point: MakePoint, behaviour: dict[str, Any], fault: Fault | None
) -> None:
    asking = point()
    server.behaviour = Behaviour(**behaviour)
    for _ in range(2):
        if fault is None:
            assert asking.ask(BODY, monotonic() + 5).startswith(b"{")
        else:
            assert fault_of(asking) is fault
    server.behaviour = Behaviour()
    assert ask(asking) is True


@pytest.mark.parametrize("fault", ["hang", "drip", "endless_headers"])
def test_the_deadline_is_that_of_the_whole_question(
    server: DecisionServer, point: MakePoint, fault: str
) -> None:
    """Not of each byte; a longer deadline shows that the answer would have come."""
    asking = point()
    server.behaviour = Behaviour(fault=fault, hang_seconds=3.0)
    if fault == "drip":
        assert ask(asking, 60) is True
    began = monotonic()
    assert fault_of(asking, TIMEOUT) in {Fault.TIMEOUT, Fault.BAD_ANSWER}
    if fault != "endless_headers":
        assert monotonic() - began >= TIMEOUT
    server.behaviour = Behaviour()
    assert ask(asking) is True


def test_who_finds_no_free_connection_in_time_is_told_so(server: DecisionServer, point: MakePoint) -> None:
    asking = point(connections=1)
    server.behaviour = Behaviour(latency=1.0)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, asking)
        while not server.asked:
            sleep(0.005)
        assert fault_of(asking, 0.05) is Fault.BUSY
        assert first.result() is True
    assert server.most_inflight == 1
    assert ask(asking) is True


def test_never_more_connections_than_allowed(server: DecisionServer, point: MakePoint) -> None:
    asking = point(connections=3)
    server.behaviour = Behaviour(latency=0.02)
    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(lambda _: ask(asking, 30), range(36)))
    assert server.most_inflight <= 3
    assert server.connections <= 3


def test_a_connection_that_was_closed_while_idle_is_replaced(
    server: DecisionServer, point: MakePoint
) -> None:
    asking = point()
    assert ask(asking) is True
    for connection in list(asking._idle):
        connection.stream._socket.shutdown(socket.SHUT_RDWR)
    assert ask(asking) is True
    assert server.connections == 2


def test_unasked_for_bytes_are_nobodys_answer(server: DecisionServer, point: MakePoint) -> None:
    asking = point()
    assert ask(asking) is True
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n" + b'{"result":true}')
        for connection in asking._idle:
            connection.stream._socket.close()
            connection.stream._socket = ours
        server.behaviour = Behaviour(default=False)
        assert ask(asking) is False


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x"
        assert fault_of(DecisionPoint(url, connections=1, tls=None, token=None)) is Fault.UNREACHABLE


def test_proxies_of_the_environment_are_not_used(
    server: DecisionServer, point: MakePoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    assert ask(point()) is True


def test_the_token_follows_its_file(server: DecisionServer, point: MakePoint, tmp_path: Any) -> None:
    path = tmp_path / "bearer"
    path.write_text("first\nnot this\n")
    token = BearerToken(str(path))
    assert "first" not in repr(token)
    asking = point(token=token)
    server.behaviour = Behaviour(bearer="first")
    assert ask(asking) is True
    server.behaviour = Behaviour(bearer="second-one")
    assert fault_of(asking) is Fault.BAD_ANSWER
    path.write_text("second-one\n")
    assert ask(asking) is True
    path.write_text("")
    assert ask(asking) is True
    path.unlink()
    assert ask(asking) is True


@pytest.mark.parametrize("content", ["", "two words", "ü", "a\r\nInjected: yes"])
def test_a_token_that_could_not_be_a_header_stops_the_start(tmp_path: Any, content: str) -> None:
    path = tmp_path / "bearer"
    path.write_text(content)
    if content.startswith("a\r\n"):
        assert BearerToken(str(path)).header() == "Bearer a"
        return
    with pytest.raises(ConfigError, match="policy_token_file") as caught:
        BearerToken(str(path))
    assert not content or content not in str(caught.value)


class Names:
    """Stands for the C library's lookup; ``hold`` keeps it from answering."""

    def __init__(self) -> None:
        self.calls = 0
        self.hold = threading.Event()
        self.hold.set()
        self.error: OSError | None = None

    def __call__(self, *_: Any, **__: Any) -> list[Any]:
        self.calls += 1
        self.hold.wait(30)
        if self.error is not None:
            raise self.error
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 9))]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    made = Names()
    monkeypatch.setattr(name_lookup.socket, "getaddrinfo", made)
    yield made
    made.hold.set()


def test_a_lookup_that_hangs_holds_nobody_beyond_the_deadline(names: Names) -> None:
    lookup = NameLookup("policy.example", 80)
    names.hold.clear()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(lookup.endpoints, monotonic() + 0.05) for _ in range(4)]
        for each in waiting:
            with pytest.raises(TimeoutError):
                each.result(timeout=10)
    assert names.calls == 1
    names.hold.set()
    assert lookup.endpoints(monotonic() + 10)[0].address == ("127.0.0.1", 9)
    assert names.calls == 1


def test_a_name_is_kept_while_fresh_and_used_on_when_lookups_fail(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookup = NameLookup("policy.example", 80)
    for _ in range(3):
        lookup.endpoints(monotonic() + 10)
    assert names.calls == 1
    monkeypatch.setattr(name_lookup, "FRESH_SECONDS", -1.0)
    names.error = OSError(-3, "Temporary failure in name resolution")
    assert lookup.endpoints(monotonic() + 10)
    assert names.calls == 2


def test_a_name_that_is_not_found_is_looked_up_again(names: Names) -> None:
    lookup = NameLookup("policy.example", 80)
    names.error = OSError(-2, "Name or service not known")
    with pytest.raises(OSError, match=r"policy\.example is not found: Name or service"):
        lookup.endpoints(monotonic() + 10)
    names.error = None
    assert lookup.endpoints(monotonic() + 10)
