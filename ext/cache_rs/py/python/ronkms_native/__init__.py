"""Native core of ron-kms. The names and their contracts are in ``_native.pyi``."""

from ronkms_native._native import *  # noqa: F403
from ronkms_native._native import __version__ as __version__
