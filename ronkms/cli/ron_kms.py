"""The ``ron-kms`` command: serves.

Exit status: 0 after a drain, 1 when it could not start (one line ``error: ...`` on stderr), 2 for a wrong
configuration or usage.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from typing import TYPE_CHECKING

from ronkms import __version__
from ronkms.errors import ConfigError, StartError

if TYPE_CHECKING:
    from ronkms.config import Settings


def main() -> None:
    """Console script."""
    arguments = _parser().parse_args()
    try:
        _require_native()
        from ronkms.config import load_settings
        from ronkms.observe.logs import configure_logs

        settings = load_settings(os.environ, path=arguments.config, dev=arguments.dev)
        configure_logs(settings.log_level, settings.log_format)

        from ronkms.server.serve import serve

        serve(settings, announce=(lambda: print_first_call(settings)) if settings.dev else None)
    except StartError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2 if isinstance(error, ConfigError) else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ron-kms",
        description="Signing and key-custody service. Operate it with ronctl.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help="TOML configuration; RON_CONFIG names it otherwise")
    parser.add_argument(
        "--dev", action="store_true", help="throw-away seal, loopback, data in ./.ronkms, an admin capability"
    )
    parser.add_argument("--version", action="version", version=f"ron-kms {__version__}")
    return parser


def _require_native() -> None:
    """A missing or foreign extension is a loud error, never a silent fallback."""
    advice = "install both wheels of one build: make wheels && pip install --force-reinstall dist/*.whl"
    try:
        import ronkms_native
    except ImportError as error:
        raise StartError(f"ronkms-native does not load ({error}); {advice}") from None
    if ronkms_native.__version__ != __version__:
        raise StartError(
            f"ronkms-native {ronkms_native.__version__} does not fit ronkms {__version__}; {advice}"
        )
    try:
        import ronkms._fastpath  # noqa: F401
    except ImportError as error:
        raise StartError(f"ronkms._fastpath does not load ({error}); {advice}") from None


def print_first_call(settings: Settings) -> None:
    """What a newcomer pastes: makes a key, and signs with it."""
    scheme = "https" if settings.tls else "http"
    token = os.path.relpath(settings.data_path / "capability" / "admin.token")
    base = f"{scheme}://{settings.api}/v1/kms"
    header = f'-H "Authorization: Bearer $(cat {shlex.quote(token)})" -H "Content-Type: application/json"'
    sys.stdout.write(
        f"""
Admin capability (tenant default): {token}
Make a key, and sign "hello" with it:

  curl -sS {header} {base}/keys -d '{{"key_id":"first","alg":"Ed25519","usage":"sign"}}'; echo
  curl -sS {header} {base}/sign -d '{{"key_id":"first","message":"aGVsbG8="}}'; echo

"""
    )
    sys.stdout.flush()
