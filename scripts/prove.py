"""The long forms of the proofs, with their evidence in bench/results/prove.json (``make prove``).

Each part is a command; what it printed of counts, how long it took and how it ended is written down. Exit
status 1 if one failed. ``--only NAME`` runs some of them, and keeps what is known of the others.
RONKMS_PROPERTY_SECONDS (600) is how long the property tests draw new cases.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EVIDENCE = ROOT / "bench" / "results" / "prove.json"
RUST = ROOT / "ext" / "cache_rs"
TARGET = f"{platform.machine()}-unknown-linux-gnu"
RUST_TESTS = ["cargo", "test", "--release", "--locked", "-p", "ronkms-arena", "-p", "ronkms-custody"]
PROPERTY_SECONDS = float(os.environ.get("RONKMS_PROPERTY_SECONDS", "600"))
NOT_SANITIZED = ["--skip", "plain_bytes::", "--skip", "what_is_cleared_covers", "--skip", "a_dead_frame_is"]
"""The scan of memory would read terabytes of shadow; instrumented stack frames are deeper than real ones and
have red zones in between."""
COUNTS = re.compile(r"^(?:test result: .*|\d[\d,]* \w.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Part:
    """One command with what it adds to the environment; the checkout is its working directory."""

    command: list[str]
    directory: Path = ROOT
    environment: dict[str, str] = field(default_factory=dict)
    at_least: float = 0.0
    """Seconds: it is run again, with other random cases, until so many have passed."""


def long_tests(path: str) -> Part:
    """The tests of a file that are marked ``long``."""
    return Part([str(Path(sys.executable).with_name("pytest")), "-s", "-m", "long", path])


PARTS = {
    "kill and restart, 200 rounds": long_tests("tests/e2e/test_kill_restart.py"),
    "coherence, 1,000 rounds": long_tests("tests/e2e/test_coherence.py"),
    "authorization fuzz, 10,000 tokens": long_tests("tests/unit/capability/test_authorization_fuzz.py"),
    "time of refusals, 20,000 pairs": long_tests("tests/integration/test_refusal_timing.py"),
    "requests generated from the OpenAPI document": long_tests("tests/e2e/test_schemathesis.py"),
    "audit log under heavy signing: kills and full disks": long_tests("tests/e2e/test_audit_under_load.py"),
    "audit log, 2,000 edits": long_tests("tests/integration/test_audit_tamper.py"),
    "arena, workers killed for 60 s": long_tests("tests/integration/test_arena_kill.py"),
    "random histories": Part(
        RUST_TESTS,
        RUST,
        {"PROPTEST_CASES": "20000"},
        at_least=PROPERTY_SECONDS,
    ),
    "native core, fuzzed under the address sanitizer": Part([sys.executable, "scripts/fuzz.py"]),
    "hot path, random bytes": long_tests("tests/unit/fastpath/test_engine_fuzz.py"),
    "arena and custody under the address sanitizer": Part(
        [*RUST_TESTS, "--target", TARGET, "--", *NOT_SANITIZED],
        RUST,
        {
            "RUSTC_BOOTSTRAP": "1",
            "RUSTFLAGS": "-Zsanitizer=address",
            "CARGO_TARGET_DIR": os.environ.get("CARGO_TARGET_DIR", str(RUST / "target")) + "/asan",
        },
    ),
}


def run(part: Part) -> dict[str, object]:
    """Runs one part; its output goes through to the terminal."""
    began = time.monotonic()
    runs = 1
    code, counts = run_once(part)
    while code == 0 and time.monotonic() - began < part.at_least:
        runs += 1
        code, counts = run_once(part)
    return {
        "passed": code == 0,
        "seconds": round(time.monotonic() - began),
        "runs": runs,
        "counts": counts,
    }


def run_once(part: Part) -> tuple[int, list[str]]:
    """Exit status, and what was printed of counts."""
    with subprocess.Popen(
        part.command,
        cwd=part.directory,
        env=os.environ | part.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        lines = []
        for line in process.stdout or ():
            sys.stdout.write(line)
            lines.append(line)
    found = COUNTS.findall("".join(lines))
    counts = [line for line in found if not line.startswith("test result: ok. 0 passed; 0 failed; 0 ignored")]
    return process.returncode, counts


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", action="append", choices=PARTS, help="may be repeated")
    chosen = options.parse_args().only or list(PARTS)
    evidence = json.loads(EVIDENCE.read_text()) if EVIDENCE.exists() else {}
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    for name in chosen:
        print(f"== {name}", flush=True)
        evidence[name] = run(PARTS[name]) | {
            "commit": commit.stdout.strip(),
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
        }
        EVIDENCE.parent.mkdir(parents=True, exist_ok=True)
        EVIDENCE.write_text(json.dumps(evidence, indent=2) + "\n")
    failed = [name for name in chosen if not evidence[name]["passed"]]
    print(f"failed: {'; '.join(failed)}" if failed else f"all {len(chosen)} parts passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
