"""Archiving and retention of a real server's log, under load, with small segments and a short memory."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.eventually import eventually
from tests.server_process import NotReadyError, ServerProcess

VERIFIER = Path(__file__).resolve().parent.parent / "independent_audit_verifier.py"
SECONDS = 6
"""What ``audit_retention_days`` is set to."""


def headers(server: ServerProcess) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.token}"}


def numbers(directory: Path) -> list[int]:
    return sorted(int(path.name[6:14]) for path in directory.glob("audit-*.jsonl"))


def metric(server: ServerProcess, name: str) -> float:
    for line in httpx.get(server.admin_url + "/metrics").text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.split()[1])
    raise AssertionError(f"no metric {name}")


def test_segments_move_to_the_archive_and_the_whole_log_is_proven(tmp_path: Path) -> None:
    archive, copied = tmp_path / "archive", tmp_path / "siem.jsonl"
    server = ServerProcess(
        tmp_path / "data",
        {
            "KMS_WORKERS": "2",
            "KMS_AUDIT_SEGMENT_BYTES": "65536",
            "KMS_AUDIT_SEGMENT_SECONDS": "3",
            "KMS_AUDIT_ARCHIVE_DIR": str(archive),
            "KMS_AUDIT_RETENTION_DAYS": str(SECONDS / 86400),
            "KMS_AUDIT_SINKS": f'[{{name = "siem", target = "file:{copied}"}}]',
        },
    )
    audit = server.data_dir / "audit"
    answered = 0
    with server:
        with httpx.Client(base_url=server.api_url, headers=headers(server), timeout=30) as client:
            client.post("/v1/kms/keys", json={"alg": "Ed25519", "usage": "sign", "key_id": "k"})
            until_gone = time.monotonic() + 120
            while numbers(audit)[0] == 1 or answered < 600:
                assert time.monotonic() < until_gone, numbers(audit)
                client.post("/v1/kms/sign", json={"key_id": "k", "message": "aGVsbG8="}).raise_for_status()
                answered += 1
            kept = tmp_path / "kept"
            eventually(lambda: server.ronctl("audit", "checkpoint").stdout != "")
            kept.write_text(server.ronctl("audit", "checkpoint").stdout)
        eventually(lambda: metric(server, "kms_audit_segments_removed_total") > 0)
        assert metric(server, "kms_audit_segments_archived_total") > 0
        assert metric(server, "kms_audit_retention_failed_total") == 0
        assert metric(server, "kms_audit_integrity_failed_total") == 0
        shown = server.ronctl("audit", "verify", "--archive", str(archive), "--checkpoint", str(kept))
        assert "records from number 0 in" in shown.stdout
        proof = tmp_path / "proof.json"
        proof.write_text(server.ronctl("audit", "prove", "0", "--archive", str(archive)).stdout)
        assert "record 0 is in" in server.ronctl("audit", "verify", "--proof", str(proof)).stdout
        assert "give --archive" in server.ronctl("audit", "prove", "0", check=False).stderr
    # Restarted, it goes on; and what it wrote is proven by code that it does not share.
    with server, httpx.Client(base_url=server.api_url, headers=headers(server), timeout=30) as client:
        for _ in range(20):
            client.post("/v1/kms/sign", json={"key_id": "k", "message": "aGVsbG8="}).raise_for_status()
            answered += 1
    shown = server.ronctl("audit", "verify", "--archive", str(archive))
    exported = server.ronctl("audit", "export", "--archive", str(archive), "--op", "sign").stdout
    assert exported.count('"outcome":"ok"') == answered, "every answered operation is in the log"
    # A sink follows from segment to segment; none leaves before it was delivered.
    everything = server.ronctl("audit", "export", "--archive", str(archive)).stdout.splitlines()
    delivered = {int(json.loads(line)["seq"]): line for line in copied.read_text("utf-8").splitlines()}
    begin, end = min(delivered), max(delivered)
    assert [delivered[number] for number in range(begin, end + 1)] == everything[begin : end + 1]
    assert end - begin > answered
    alone = server.ronctl("audit", "verify")
    assert re.search(r"records 0 to \d+ have left", alone.stderr)
    keys = server.ronctl("audit", "keys").stdout.split()
    for arguments in ([], ["--archive", str(archive)]):
        done = subprocess.run(
            [sys.executable, "-I", str(VERIFIER), str(audit), *keys, "--checkpoint", str(kept), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert ("have left" in done.stdout) == (not arguments)
    # An archive that lost a file, and a log that lost one that did not leave, are both found.
    lost = archive / "audit-00000001.jsonl"
    lost.rename(tmp_path / "lost")
    refused = server.ronctl("audit", "verify", "--archive", str(archive), check=False)
    assert refused.returncode == 3
    assert "segment 1 is missing" in refused.stderr
    left = json.loads((audit / "retention.json").read_bytes())["segments"]
    for number in numbers(audit):
        if number <= left:  # recorded, and the stop came before it was removed
            (audit / f"audit-{number:08}.jsonl").unlink()
    first = audit / f"audit-{left + 1:08}.jsonl"
    first.rename(tmp_path / "first")
    refused = server.ronctl("audit", "verify", check=False)
    assert refused.returncode == 3
    assert f"{first.name}: is missing" in refused.stderr
    with pytest.raises(NotReadyError, match=f"{first.name} is missing"):
        server.start()


def test_an_archive_inside_of_the_data_directory_is_refused(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data", {"KMS_AUDIT_ARCHIVE_DIR": str(tmp_path / "data" / "audit")})
    with pytest.raises(NotReadyError, match="audit_archive_dir: must be outside of data_dir"):
        server.start()
