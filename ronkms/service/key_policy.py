"""What a new key is made with, checked before anything is made."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

import msgspec

from ronkms.domain.algorithm import Algorithm, Usage, algorithm
from ronkms.domain.key import check_key_id
from ronkms.domain.key_policy import KeyPolicy
from ronkms.errors import BadRequest

MAX_LABELS: Final = 64
MAX_LABEL: Final = 128

RESERVED: Final = frozenset({"rotate", "import"})
"""Key ids that the routes below ``/v1/kms/keys/`` need for themselves."""


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """As the caller asked for it. ``key_id`` empty: one is made. ``backend`` empty: the default."""

    alg: str
    usage: Usage
    key_id: str = ""
    backend: str = ""
    labels: Mapping[str, str] = {}
    policy: KeyPolicy = KeyPolicy()

    def checked(self, *, imported: bool = False) -> tuple[Algorithm, str]:
        """(algorithm, key id). ``imported``: its material comes from outside. Raises BadRequest."""
        row = algorithm(self.alg)
        if row.usage is not self.usage:
            raise BadRequest(f"{row.name} is for {row.usage}, not for {self.usage}", field="/usage")
        self.policy.check(row, versions=1, imported=imported)
        _check_labels(self.labels)
        if not self.key_id:
            return row, f"key-{secrets.token_hex(12)}"
        if self.key_id in RESERVED:
            raise BadRequest(f"key_id {self.key_id} is reserved", field="/key_id")
        return row, check_key_id(self.key_id)


def _check_labels(labels: Mapping[str, str]) -> None:
    if len(labels) > MAX_LABELS:
        raise BadRequest(f"labels: at most {MAX_LABELS}", field="/labels")
    for name, value in labels.items():
        if not name or len(name) > MAX_LABEL or len(value) > MAX_LABEL:
            raise BadRequest(
                f"labels: names of 1 to {MAX_LABEL}, values of up to {MAX_LABEL} characters", "/labels"
            )
        if not (name.isprintable() and value.isprintable()):
            raise BadRequest("labels: printable characters only", field="/labels")
