"""Configuration: one frozen :class:`Settings` value, read from defaults, a TOML file and ``KMS_*``."""

from ronkms.config.load import load_settings
from ronkms.config.settings import Settings

__all__ = ["Settings", "load_settings"]
