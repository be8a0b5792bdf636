"""docs/formats/envelope.md, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ronkms.domain.algorithm import ALGORITHMS, Usage
from ronkms.domain.envelope import HEADER_SIZE, NOT_OPENED, encode_header, split
from ronkms.errors import BadRequest

WRAPPING = [row.name for row in ALGORITHMS.values() if row.usage is Usage.WRAP]


def test_the_header_is_the_documents() -> None:
    assert encode_header("AES-256-GCM", 1) == bytes.fromhex("524b45 01 01 00000001")
    assert encode_header("AES-KWP", 258) == bytes.fromhex("524b45 01 02 00000102")
    assert encode_header("X-Wing", 2**32 - 1) == bytes.fromhex("524b45 01 03 ffffffff")


@given(st.sampled_from(WRAPPING), st.integers(1, 2**32 - 1), st.binary(min_size=1, max_size=64))
def test_split_is_the_inverse(alg: str, version: int, body: bytes) -> None:
    header = encode_header(alg, version)
    assert len(header) == HEADER_SIZE
    assert split(header + body) == (alg, version, header, body)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "524b45",
        "524b4501",
        "524b45010100000001",
        "524b4501010000000000",
        "524b45020100000001ff",
        "524b45010400000001ff",
    ],
)
def test_malformed_headers_have_the_one_message(text: str) -> None:
    with pytest.raises(BadRequest, match=NOT_OPENED):
        split(bytes.fromhex(text))


@given(st.binary(max_size=40))
def test_anything_splits_or_is_refused(data: bytes) -> None:
    try:
        alg, version, header, body = split(data)
    except BadRequest as error:
        assert str(error) == NOT_OPENED
    else:
        assert header + body == data
        assert encode_header(alg, version) == header
