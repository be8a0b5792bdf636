"""``docs/INTEROP.md`` is true: its commands run, its JSON fits the schemas, its codes are all there are."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from ronkms.api.openapi import openapi_document
from ronkms.api.problem import STATUS
from ronkms.api.routes import ROUTES
from tests.e2e.support.api_client import ApiClient
from tests.server_process import ServerProcess

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "INTEROP.md").read_text()
COMMANDS = re.findall(r"^```sh run\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
JSON = re.findall(r"^```json (\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def run(commands: str, server: ServerProcess, directory: Path) -> str:
    """What the commands print; any that fails ends the test."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "KMS": server.api_url, "TOKEN": server.token},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_call(server: ServerProcess, tmp_path: Path) -> None:
    assert "Signature Verified Successfully" in run(COMMANDS[0], server, tmp_path)


def test_the_import_by_hand(api: ApiClient, server: ServerProcess, tmp_path: Path) -> None:
    """The key that arrived is the one that ``openssl`` made."""
    keep = COMMANDS[1].replace(
        "rm aes.bin key.der", "openssl pkey -inform DER -in key.der -pubout > expected.pem"
    )
    assert keep != COMMANDS[1]
    assert '"key_id":"brought"' in run(keep, server, tmp_path)
    answer = api.get("/v1/kms/keys/brought/public", accept="application/x-pem-file")
    assert answer.body == (tmp_path / "expected.pem").read_text()


def test_all_commands_are_tested() -> None:
    assert len(COMMANDS) == 2


@pytest.mark.parametrize(
    ("name", "text"), JSON, ids=[f"{position}-{name}" for position, (name, _) in enumerate(JSON)]
)
def test_json_fits_the_schema_it_names(name: str, text: str) -> None:
    components = openapi_document()["components"]
    schema = {"$ref": f"#/components/schemas/{name}", "components": components}
    Draft202012Validator(schema).validate(json.loads(text))


def test_every_json_block_names_a_schema() -> None:
    assert len(JSON) == len(re.findall(r"^```json", PAGE, re.MULTILINE)) >= 15


def test_every_code_stands_with_its_status() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d{3}) \|", PAGE, re.MULTILINE))
    assert rows == {code: str(status) for code, status in STATUS.items()}


def test_every_path_is_mentioned() -> None:
    for route in ROUTES:
        path = re.sub(r"(enable|disable|destroy|restore)$", "enable|disable|destroy|restore", route.path)
        assert path in PAGE, route.path
