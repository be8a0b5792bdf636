"""The baseline of the log's cost can be built of the engine as it is."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from bench.unlogged import unlogged_environment


def test_a_build_without_the_log_is_made_and_loads(tmp_path: Path) -> None:
    loader = unlogged_environment(tmp_path)["PYTHONPATH"]
    assert (Path(loader) / "sitecustomize.py").is_file()
    [built] = tmp_path.glob("_fastpath*.so")
    spec = importlib.util.spec_from_file_location("_fastpath", built)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.Engine
