"""What every handler works with."""

from __future__ import annotations

from dataclasses import dataclass

from ronkms.api.problem import Problems
from ronkms.service.kms import KmsService


@dataclass(frozen=True, slots=True)
class Context:
    """Made once, at start."""

    service: KmsService
    problems: Problems
