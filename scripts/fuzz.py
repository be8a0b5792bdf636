"""Runs the fuzz targets of the native core under libFuzzer and the address sanitizer (``make fuzz``).

Each target gets RONKMS_FUZZ_SECONDS (180), starts from its committed corpus and keeps what it found beside
the build (``<cargo target>/fuzz/corpus``), so that the next run goes on from there. Exit status 1 if one
found something; the input lies then under ``<cargo target>/fuzz/findings``. ``--only NAME`` runs some of
them. docs/FUZZING.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

RUST = Path(__file__).resolve().parent.parent / "ext" / "cache_rs"
CORPUS = RUST / "fuzz" / "corpus"
BUILD = Path(os.environ.get("CARGO_TARGET_DIR", RUST / "target")) / "fuzz"
TARGET = f"{platform.machine()}-unknown-linux-gnu"
TARGETS = sorted(path.name for path in CORPUS.iterdir())
LONGEST = 4096
"""Bytes of an input that libFuzzer makes."""
SANITIZED = " ".join(
    [
        "-Zsanitizer=address",
        "-Cpasses=sancov-module",
        "-Cllvm-args=-sanitizer-coverage-level=4",
        "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
        "-Cllvm-args=-sanitizer-coverage-pc-table",
        "-Cllvm-args=-sanitizer-coverage-trace-compares",
    ]
)
"""What cargo-fuzz passes. The flags are unstable: RUSTC_BOOTSTRAP lets the stable compiler take them."""
DONE = re.compile(r"^#(\d+)\s+DONE\s+cov: (\d+)", re.MULTILINE)


def build() -> Path:
    """Path of the driver."""
    subprocess.run(
        ["cargo", "build", "--quiet", "--release", "--locked", "--target", TARGET],
        cwd=RUST / "fuzz" / "libfuzzer",
        env=os.environ | {"RUSTC_BOOTSTRAP": "1", "RUSTFLAGS": SANITIZED, "CARGO_TARGET_DIR": str(BUILD)},
        check=True,
    )
    return BUILD / TARGET / "release" / "fuzz"


def run(driver: Path, target: str, seconds: int) -> bool:
    """Whether the target found nothing."""
    found, findings = BUILD / "corpus" / target, BUILD / "findings" / target
    for directory in (found, findings):
        directory.mkdir(parents=True, exist_ok=True)
    process = subprocess.run(
        [
            str(driver),
            str(found),
            str(CORPUS / target),
            f"-max_total_time={seconds}",
            f"-max_len={LONGEST}",
            "-timeout=60",
            "-rss_limit_mb=4096",
            f"-artifact_prefix={findings}/",
        ],
        env=os.environ | {"RONKMS_FUZZ_TARGET": target},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    done = DONE.search(process.stdout)
    if process.returncode != 0 or done is None:
        print(process.stdout[-20_000:])
        print(f"{target}: exit status {process.returncode}, input under {findings}", flush=True)
        return False
    print(f"{int(done[1]):,} inputs to {target}, {int(done[2]):,} edges reached", flush=True)
    return True


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", action="append", choices=TARGETS, help="may be repeated")
    seconds = int(os.environ.get("RONKMS_FUZZ_SECONDS", "180"))
    driver = build()
    passed = [run(driver, target, seconds) for target in options.parse_args().only or TARGETS]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
