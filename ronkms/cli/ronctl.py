"""The ``ronctl`` command: operates ron-kms.

Exit status: 0 done; 1 refused or failed; 2 wrong usage or configuration; 3 an integrity check failed; 4 no
server, or it cannot do it now. Errors are one line on standard error.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import click

from ronkms import __version__
from ronkms.cli.ronctl_audit import audit
from ronkms.cli.ronctl_cache import cache
from ronkms.cli.ronctl_cap import cap
from ronkms.cli.ronctl_config import config
from ronkms.cli.ronctl_keys import keys
from ronkms.cli.ronctl_policy import policy
from ronkms.cli.ronctl_server import status, tail
from ronkms.cli.ronctl_target import Target
from ronkms.errors import ConfigError, IntegrityError, KmsError, Unavailable

FAILED: Final = 1
USAGE: Final = 2
INTEGRITY: Final = 3
UNAVAILABLE: Final = 4
INTERRUPTED: Final = 130


@click.group(
    epilog="Exit status: 0 done; 1 refused or failed; 2 usage or configuration; 3 integrity; 4 no server."
)
@click.version_option(__version__, prog_name="ronctl")
@click.option("--data-dir", metavar="DIR", help="The server's data directory (KMS_DATA_DIR).")
@click.option("--config", metavar="FILE", help="The server's configuration (RON_CONFIG), for its data_dir.")
@click.option("--url", metavar="URL", help="The API (RON_URL); else asked of the server.")
@click.option("--ca-file", metavar="FILE", help="Authorities that the API's certificate is checked with.")
@click.option("--client-cert", metavar="FILE", help="Client certificate for mutual TLS.")
@click.option("--client-key", metavar="FILE", help="Its key.")
@click.option(
    "--token-file", metavar="FILE", help="Capability for keys (RON_TOKEN_FILE); else one is minted."
)
@click.option("--tenant", default="default", help="Tenant of the minted capability.", show_default=True)
@click.pass_context
def ronctl(context: click.Context, /, **options: Any) -> None:
    """Operates ron-kms, over the admin socket of its data directory or offline."""
    context.obj = Target(**options)


for command in (audit, cache, cap, config, keys, policy, status, tail):
    ronctl.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Console script."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Runs one command; the exit status."""
    try:
        # The status of click's Exit, or what the command returned: nothing.
        status: int | None = ronctl.main(arguments, prog_name="ronctl", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return USAGE if isinstance(error, click.UsageError) else FAILED
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return FAILED
    except KmsError as error:
        return _fail(str(error), _status(error))
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror or error}", FAILED)
    return status or 0


def _status(error: KmsError) -> int:
    if isinstance(error, IntegrityError):
        return INTEGRITY
    if isinstance(error, ConfigError):
        return USAGE
    return UNAVAILABLE if isinstance(error, Unavailable) else FAILED


def _fail(message: str, status: int) -> int:
    click.echo(f"error: {' '.join(message.split())}", err=True)
    return status


if __name__ == "__main__":
    main()
