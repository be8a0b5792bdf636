"""The vocabulary. Everything may import it; it imports nothing of ron-kms but ``errors``."""
