"""Resolves pyproject.toml into requirements/*.lock: exact versions with hashes (``make lock``).

Three locks, so that serving needs none of the build or test packages. The test lock is resolved with the
runtime lock as a constraint: what is tested is what runs.
"""

from __future__ import annotations

import subprocess
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "requirements"


def compile_lock(name: str, requirements: list[str], constraints: list[Path]) -> Path:
    """Writes requirements/NAME.lock with uv's resolver and returns its path."""
    target = OUT / f"{name}.lock"
    with tempfile.NamedTemporaryFile("w", suffix=".in") as source:
        source.write("\n".join(requirements))
        source.flush()
        command = ["uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--upgrade"]
        command += ["--python-version", "3.11", "--no-header", "--no-annotate", "--output-file", str(target)]
        for constraint in constraints:
            command += ["--constraint", str(constraint)]
        subprocess.run([*command, source.name], check=True)
    return target


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    # ronkms-native is built here, never fetched.
    runtime = [row for row in project["project"]["dependencies"] if not row.startswith("ronkms-native")]
    OUT.mkdir(exist_ok=True)
    locked = compile_lock("runtime", runtime, [])
    compile_lock("build", groups["build"], [])
    compile_lock("test", groups["test"], [locked])


if __name__ == "__main__":
    main()
