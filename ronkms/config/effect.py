"""Settings that are read and checked but change nothing in this version."""

from __future__ import annotations

from ronkms.config.field import FIELDS
from ronkms.config.settings import Settings

_WITHOUT_EFFECT = ("pkcs11_module", "pkcs11_pin_file")


def without_effect(settings: Settings) -> list[str]:
    """Names of those that differ from their default: the start warns of each."""
    return [name for name in _WITHOUT_EFFECT if getattr(settings, name) != FIELDS[name].default]
