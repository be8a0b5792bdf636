"""Targets of audit sinks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronkms.domain.audit_sink import parse_target

TARGETS = [
    ("file:/var/log/a b".replace(" ", "%20"), ("file", "/var/log/a%20b", "", 0, False), True),
    ("file:///x", ("file", "/x", "", 0, False), True),
    ("unix:/dev/log", ("unix", "/dev/log", "", 0, False), True),
    ("udp://10.0.0.1:514", ("udp", "", "10.0.0.1", 514, False), False),
    ("tcp://localhost:601", ("tcp", "", "localhost", 601, False), True),
    ("tls://[::1]:6514", ("tls", "", "::1", 6514, True), True),
    ("http://127.0.0.2", ("http", "/", "127.0.0.2", 80, False), True),
    ("https://siem.example/a/b?c=d&e", ("http", "/a/b?c=d&e", "siem.example", 443, True), False),
]


@pytest.mark.parametrize(("text", "parsed", "loopback"), TARGETS)
def test_targets(text: str, parsed: tuple[str, str, str, int, bool], loopback: bool) -> None:
    found = parse_target(text)
    assert (found, found.loopback) == (parsed, loopback)


@given(
    st.one_of(
        st.text(),
        st.builds(
            "{}:{}{}".format,
            st.sampled_from(["file", "unix", "udp", "tcp", "tls", "http", "https"]),
            st.sampled_from(["", "/", "//", "//h:1", "//u:p@h:1", "//[::1", "//h:x"]),
            st.text(),
        ),
    )
)
def test_any_text_is_a_target_or_refused_without_being_repeated(text: str) -> None:
    try:
        found = parse_target(text)
    except ValueError:
        return
    assert found.path.startswith("/") if found.kind in ("file", "unix", "http") else found.port
    assert text.isprintable()
    assert "@" not in found.host
