"""Readers of public test vectors, each giving cases that go through the HTTP API unchanged."""
