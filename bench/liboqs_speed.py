"""ML-DSA-65 by liboqs' own speed program, built from the sources that the crate ``oqs-sys`` carries.

Cargo fetches the sources (version and checksum in ``bench/liboqs/Cargo.lock``), CMake builds ML-DSA-65 alone,
as the project's default build would: run-time choice of the processor's extensions, own SHA-3.
"""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ALGORITHM = "ML-DSA-65"


def build_speed_program(build: Path) -> Path | None:
    """The program, built under ``build`` (some 15 s the first time); None without CMake or cargo.

    Raises CalledProcessError.
    """
    if not (shutil.which("cmake") and shutil.which("cargo")):
        return None
    listed = _output(
        "cargo",
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--manifest-path",
        str(HERE / "liboqs" / "Cargo.toml"),
    )
    [crate] = (package for package in json.loads(listed)["packages"] if package["name"] == "oqs-sys")
    sources = Path(crate["manifest_path"]).parent / "liboqs"
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DOQS_USE_OPENSSL=OFF", "-DOQS_MINIMAL_BUILD=SIG_ml_dsa_65"]
    _output("cmake", "-S", str(sources), "-B", str(build), *options)
    _output("cmake", "--build", str(build), "--target", "speed_sig", "--parallel", "2")
    return build / "tests" / "speed_sig"


def run_speed_program(program: Path, seconds: int) -> dict[str, float]:
    """``sign`` and ``verify`` per second of processor time, from one run of 3 times ``seconds``.

    The program divides by wall time; its means are multiplied with the part of it that the program had the
    processor, so that other load does not make liboqs look slow.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    text = _output(str(program), "-d", str(seconds), ALGORITHM)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = min(1.0, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / wall)
    return {name: 1e6 / (mean * busy) for name, mean in parse_means(text).items()}


def parse_means(text: str) -> dict[str, float]:
    """Mean microseconds of ``sign`` and ``verify`` in the program's table. Raises ValueError."""
    means = {}
    for name in ("sign", "verify"):
        row = re.search(rf"^{name}\s*\|\s*\d+\s*\|\s*[\d.]+\s*\|\s*([\d.]+)\s*\|", text, re.MULTILINE)
        if row is None:
            raise ValueError(f"the speed program printed no row for {name}")
        means[name] = float(row[1])
    return means


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
