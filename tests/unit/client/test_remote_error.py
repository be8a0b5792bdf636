"""Errors of the service come back as what they were."""

from __future__ import annotations

import pytest

from ronkms.api.problem import STATUS
from ronkms.client.remote_error import remote_error
from ronkms.errors import KmsError


@pytest.mark.parametrize("code", STATUS)
def test_every_code_of_the_api_is_an_error_again(code: str) -> None:
    error = remote_error(code, "what the server said")
    assert str(error) == "what the server said"
    if code != "method_not_allowed":
        assert error.code == code


def test_a_code_of_a_later_release_is_a_plain_error() -> None:
    assert type(remote_error("not_heard_of", "x")) is KmsError
