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
_AVX2 = "OQS_ENABLE_SIG_ml_dsa_65_avx2:BOOL=ON"


def build_speed_program(build: Path) -> Path | None:
    """The program, built under ``build`` (some 15 s the first time); None without CMake or cargo.

    Raises CalledProcessError, and RuntimeError if the build lacks the AVX2 code on a processor that has AVX2.
    """
    if not (shutil.which("cmake") and shutil.which("cargo")):
        return None
    manifest = str(HERE / "liboqs" / "Cargo.toml")
    listed = _output("cargo", "metadata", "--format-version", "1", "--locked", "--manifest-path", manifest)
    [crate] = (package for package in json.loads(listed)["packages"] if package["name"] == "oqs-sys")
    target = build / crate["version"]
    program = target / "tests" / "speed_sig"
    if not program.exists():
        # Always from nothing: configured a second time, liboqs leaves the AVX2 code out of a minimal build.
        shutil.rmtree(target, ignore_errors=True)
        sources = Path(crate["manifest_path"]).parent / "liboqs"
        options = ["-DCMAKE_BUILD_TYPE=Release", "-DOQS_USE_OPENSSL=OFF", "-DOQS_MINIMAL_BUILD=SIG_ml_dsa_65"]
        _output("cmake", "-S", str(sources), "-B", str(target), *options)
        _output("cmake", "--build", str(target), "--target", "speed_sig", "--parallel", "2")
    has_avx2 = re.search(r"^flags\s*:.*\bavx2\b", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    if has_avx2 and _AVX2 not in (target / "CMakeCache.txt").read_text():
        raise RuntimeError(f"{target} was built without AVX2: remove it and run the bench again")
    return Path(program)


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
