"""A build of the hot path that writes no audit records: the baseline of ``bench.audit_cost`` alone.

The product has no switch that turns its log off. This takes a copy of ``ext/``, lets the one function that
appends a record return at once, and makes a server process load that instead of ``ronkms._fastpath``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.compiled import compiled

EXT = Path(__file__).resolve().parent.parent / "ext"
ENGINE = "_fastpath.pyx"

_LOGGED = """        cdef int64_t seq
        if len(token.audit_part)"""
_UNLOGGED = """        cdef int64_t seq
        return True
        if len(token.audit_part)"""

_LOADER = """
import importlib.util
import sys


class Unlogged:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "ronkms._fastpath":
            return importlib.util.spec_from_file_location(name, {module!r})
        return None


sys.meta_path.insert(0, Unlogged)
"""


class ChangedEngineError(Exception):
    """The engine's source is no longer what this changes."""


def unlogged_environment(build: Path) -> dict[str, str]:
    """What makes a Python process load it, built under ``build``. Raises ChangedEngineError."""
    sources = build / "sources"
    shutil.copytree(EXT, sources, ignore=shutil.ignore_patterns("cache_rs", "*.c"))
    engine = sources / ENGINE
    text = engine.read_text()
    if text.count(_LOGGED) != 1:
        raise ChangedEngineError(
            f"{ENGINE} appends its audit record otherwise than bench/unlogged.py expects"
        )
    engine.write_text(text.replace(_LOGGED, _UNLOGGED))
    module = compiled(engine, build)
    loader = build / "loader"
    loader.mkdir()
    (loader / "sitecustomize.py").write_text(_LOADER.format(module=str(module)))
    return {"PYTHONPATH": str(loader)}
