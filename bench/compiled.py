"""Compiles Cython sources against the installed native core."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import ronkms_native
from Cython.Build import cythonize
from setuptools import Distribution, Extension  # type: ignore[import-untyped]

HERE = Path(__file__).resolve().parent


def load_cache_hits(build: Path) -> ModuleType:
    """The module ``cache_hits``, built under ``build``. Raises what the compiler raises."""
    name = "cache_hits"
    spec = importlib.util.spec_from_file_location(name, compiled(HERE / f"{name}.pyx", build))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module
    return module


def compiled(source: Path, build: Path) -> Path:
    """The extension module of ``source``, with the product's compiler flags, built under ``build``.

    Raises what the compiler raises."""
    name = source.stem
    extension = Extension(
        name,
        [str(source)],
        include_dirs=[str(Path(ronkms_native.__file__).parent)],
        extra_compile_args=["-O3", "-fno-plt"],
    )
    [prepared] = cythonize(  # type: ignore[no-untyped-call]
        [extension], build_dir=str(build), quiet=True, language_level=3
    )
    command = Distribution({"ext_modules": [prepared]}).get_command_obj("build_ext")
    command.build_lib = command.build_temp = str(build)
    command.ensure_finalized()
    command.run()
    return Path(command.get_ext_fullpath(name))
