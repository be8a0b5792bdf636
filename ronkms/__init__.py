"""ron-kms: a signing and key-custody service."""

__version__ = "0.1.0"
