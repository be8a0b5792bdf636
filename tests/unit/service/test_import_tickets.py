"""One-time import keys: taken once, whoever asks and however many at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from ronkms.errors import BackendUnavailable, NotFound
from ronkms.service.import_tickets import LIFETIME_SECONDS, ImportTickets, Ticket

NOW = 1_000_000


@pytest.fixture
def tickets(tmp_path: Path) -> ImportTickets:
    return ImportTickets(tmp_path / "import")


def stored(tickets: ImportTickets) -> Ticket:
    ticket = msgspec.structs.replace(tickets.new("t", "file", "m", NOW), sealed=b"sealed")
    tickets.store(ticket)
    return ticket


def test_of_many_takers_one_wins(tickets: ImportTickets) -> None:
    takers = 16
    for _ in range(20):
        ticket = stored(tickets)
        together = threading.Barrier(takers)

        def take(import_id: str = ticket.import_id, together: threading.Barrier = together) -> bool:
            together.wait()
            try:
                return tickets.take(import_id, "t", NOW).sealed == b"sealed"
            except NotFound:
                return False

        with ThreadPoolExecutor(takers) as pool:
            assert sum(pool.map(lambda _: take(), range(takers))) == 1


def test_another_instance_takes_it(tickets: ImportTickets, tmp_path: Path) -> None:
    ticket = stored(tickets)
    assert ImportTickets(tmp_path / "import").take(ticket.import_id, "t", NOW) == ticket
    with pytest.raises(NotFound):
        tickets.take(ticket.import_id, "t", NOW)


def test_expiry_and_tenant(tickets: ImportTickets) -> None:
    ticket = stored(tickets)
    for tenant, now in (("other", NOW), ("t", NOW + LIFETIME_SECONDS)):
        with pytest.raises(NotFound):
            tickets.take(ticket.import_id, tenant, now)
    assert tickets.take(ticket.import_id, "t", NOW + LIFETIME_SECONDS - 1) == ticket


def test_identities_bind_every_field() -> None:
    base = Ticket(import_id="i", tenant="t", backend="b", mechanism="m", expires_at=1)
    identities = {base.identity()}
    for change in (
        {"import_id": "x"},
        {"tenant": "x"},
        {"backend": "x"},
        {"mechanism": "x"},
        {"expires_at": 2},
    ):
        identities.add(msgspec.structs.replace(base, **change).identity())
    moved = Ticket(import_id="it", tenant="", backend="b", mechanism="m", expires_at=1)
    assert len(identities | {moved.identity()}) == 7


def test_a_damaged_ticket_is_reported(tickets: ImportTickets, tmp_path: Path) -> None:
    ticket = stored(tickets)
    (tmp_path / "import" / ticket.import_id).write_bytes(b"{")
    with pytest.raises(BackendUnavailable):
        tickets.take(ticket.import_id, "t", NOW)


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "import").write_text("in the way")
    with pytest.raises(BackendUnavailable):
        stored(ImportTickets(tmp_path / "import"))
