"""Builds the Cython hot path. Everything else about the package is in pyproject.toml."""

from Cython.Build import cythonize
from setuptools import Extension, setup

setup(
    ext_modules=cythonize(
        [
            Extension(
                "ronkms._fastpath",
                ["ext/_fastpath.pyx"],
                include_dirs=["ext/cache_rs/py/python/ronkms_native"],
                extra_compile_args=["-O3", "-fno-plt"],
            )
        ],
        language_level=3,
    )
)
