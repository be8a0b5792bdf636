"""Signatures, verifications, batches, wraps and lifecycle at once; each answer is kept.

What was answered must be in the audit log under its correlation id (``audit_truth``), whatever happened to
the server meanwhile.
"""

from __future__ import annotations

import base64
import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.integration.raw_http import RawConnection
from tests.server_process import ServerProcess

MESSAGE = base64.b64encode(b"what was answered is in the log").decode()
SIGNING_KEYS = {"ed": "Ed25519", "pq": "ML-DSA-65", "ec": "ES256"}
WRAPPING_KEY = "aes"
BATCH_ITEMS = 32
PAUSE_SECONDS = 0.02
"""After a lost connection or a refusal: a server that is down or full need not be asked faster."""


class Answered(NamedTuple):
    """One answer. ``code`` is the error code of a refusal; ``items`` is 0 for a single."""

    op: str
    corr_id: str
    status: int
    code: str
    key_id: str
    key_version: int
    items: int

    @property
    def ok(self) -> bool:
        """A success."""
        return self.status in (200, 201)


class LostError(Exception):
    """The connection ended before the answer: nothing was acknowledged."""


class _Caller:
    """One client with a connection of its own."""

    def __init__(self, server: ServerProcess, prefix: str) -> None:
        self.answers: list[Answered] = []
        self._server = server
        self._token = server.token
        self._corr_ids = (f"{prefix}-{number}" for number in itertools.count())
        self._connection: RawConnection | None = None

    def post(self, op: str, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """The body of a success. Raises LostError."""
        corr_id = next(self._corr_ids)
        try:
            if self._connection is None:
                self._connection = RawConnection(self._server.api_url, timeout=20)
            reply = self._connection.request(
                "POST",
                f"/v1/kms/{path}",
                self._token,
                json.dumps(body).encode(),
                more=(f"X-Correlation-ID: {corr_id}",),
            )
        except OSError as error:
            self.close()
            raise LostError from error
        if reply.headers.get("connection") == "close":
            self.close()
        parsed = reply.json()
        ok = reply.status in (200, 201)
        self.answers.append(
            Answered(
                op,
                corr_id,
                reply.status,
                "" if ok else parsed["code"],
                parsed.get("key_id", body.get("key_id", "")),
                parsed.get("key_version", 0) if ok else 0,
                len(body.get("items", [])),
            )
        )
        return parsed if ok else None

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def make_keys(server: ServerProcess) -> list[Answered]:
    """The keys that the load uses; once a data directory."""
    caller = _Caller(server, "make")
    for key_id, alg in SIGNING_KEYS.items():
        assert caller.post("create", "keys", {"key_id": key_id, "alg": alg, "usage": "sign"})
    wrapping = {"key_id": WRAPPING_KEY, "alg": "AES-256-GCM", "usage": "wrap"}
    assert caller.post("create", "keys", wrapping)
    caller.close()
    return caller.answers


class AuditedLoad:
    """Eight clients against ``server`` from :meth:`start` to :meth:`stop`. ``prefix``: of correlation ids."""

    def __init__(self, server: ServerProcess, prefix: str) -> None:
        self._stopping = threading.Event()
        self._failed: list[BaseException] = []
        self._callers: list[_Caller] = []
        self._threads: list[threading.Thread] = []
        kinds: list[Callable[[_Caller, str], Iterator[None]]] = [
            _sign,
            _sign,
            _verify,
            _batches,
            _batches,
            _wrap,
            _lifecycle,
            _lifecycle,
        ]
        for number, kind in enumerate(kinds):
            name = f"{prefix}-{number}"
            caller = _Caller(server, name)
            self._callers.append(caller)
            self._threads.append(threading.Thread(target=self._run, args=(caller, kind, name), daemon=True))

    def start(self) -> None:
        """Begins."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> list[Answered]:
        """Ends; all answers."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(40)
            assert not thread.is_alive()
        if self._failed:
            raise self._failed[0]
        return self.answers()

    def answers(self) -> list[Answered]:
        """All answers so far."""
        return [answer for caller in self._callers for answer in list(caller.answers)]

    def _run(self, caller: _Caller, kind: Callable[[_Caller, str], Iterator[None]], prefix: str) -> None:
        steps = kind(caller, f"{prefix}-0")
        number = 0
        try:
            while not self._stopping.is_set():
                before = len(caller.answers)
                try:
                    next(steps)
                except LostError:
                    number += 1
                    steps = kind(caller, f"{prefix}-{number}")
                if not (len(caller.answers) > before and caller.answers[-1].ok):
                    self._stopping.wait(PAUSE_SECONDS)
        except BaseException as error:  # noqa: BLE001  # reported by stop()
            self._failed.append(error)
        finally:
            caller.close()


def _sign(caller: _Caller, _: str) -> Iterator[None]:
    for key_id in itertools.cycle(SIGNING_KEYS):
        caller.post("sign", "sign", {"key_id": key_id, "message": MESSAGE})
        yield


def _verify(caller: _Caller, _: str) -> Iterator[None]:
    signed = None
    while signed is None:
        signed = caller.post("sign", "sign", {"key_id": "ed", "message": MESSAGE})
        yield
    for number in itertools.count():
        # Every other one is of another message: a miss, and an answer that says so.
        message = MESSAGE if number % 2 else base64.b64encode(str(number).encode()).decode()
        caller.post(
            "verify", "verify", {"key_id": "ed", "message": message, "signature": signed["signature"]}
        )
        yield


def _batches(caller: _Caller, _: str) -> Iterator[None]:
    for key_id in itertools.cycle(SIGNING_KEYS):
        items = [{"key_id": key_id, "message": MESSAGE}] * BATCH_ITEMS
        signed = caller.post("sign", "sign", {"items": items})
        yield
        if signed is not None:
            checks = [
                {"key_id": key_id, "message": MESSAGE, "signature": item["result"]["signature"]}
                for item in signed["items"]
            ]
            verified = caller.post("verify", "verify", {"items": checks})
            assert verified is None or all(item["result"]["valid"] for item in verified["items"])
            yield


def _wrap(caller: _Caller, _: str) -> Iterator[None]:
    while True:
        wrapped = caller.post("wrap", "wrap", {"key_id": WRAPPING_KEY, "plaintext": MESSAGE})
        yield
        if wrapped is not None:
            body = {"key_id": WRAPPING_KEY, "ciphertext": wrapped["ciphertext"]}
            opened = caller.post("unwrap", "unwrap", body)
            assert opened is None or opened["plaintext"] == MESSAGE
            yield


def _lifecycle(caller: _Caller, prefix: str) -> Iterator[None]:
    """New keys, and changes to each. A key is left after a refusal: nobody knows what it did."""
    for number in itertools.count():
        key = {"key_id": f"{prefix}-{number}"}
        done = caller.post("create", "keys", {"alg": "Ed25519", "usage": "sign", **key})
        yield
        for step in ("rotate", "sign", "disable", "enable"):
            if done is None:
                break
            match step:
                case "rotate":
                    done = caller.post(step, "rotate", key)
                case "sign":
                    done = caller.post(step, "sign", {**key, "message": MESSAGE})
                case _:
                    done = caller.post("state", f"keys/{key['key_id']}/{step}", {})
            yield


def by_kind(answers: list[Answered]) -> Counter[str]:
    """How many of each operation (``sign batch`` beside ``sign``) and answer: ``ok``, or the error code."""
    return Counter(
        f"{answer.op}{' batch' if answer.items else ''}: {answer.code or 'ok'}" for answer in answers
    )
