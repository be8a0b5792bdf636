"""Which server a command is for, and how to reach it."""

from __future__ import annotations

import hashlib
import os
import ssl
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import click

from ronkms.cli.ronctl_admin import ask
from ronkms.cli.ronctl_parameters import read_text
from ronkms.client.http_client import HttpClient
from ronkms.config.address import parse_address
from ronkms.config.load import CONFIG_VARIABLE, DEV_DATA_DIR, parse_toml
from ronkms.config.settings import Settings
from ronkms.domain.operation import Operation
from ronkms.errors import BadRequest, ConfigError
from ronkms.server.admin_messages import SOCKET, MintArguments, MintedToken, Status

DATA_DIR_VARIABLE: Final = "KMS_DATA_DIR"
URL_VARIABLE: Final = "RON_URL"
TOKEN_FILE_VARIABLE: Final = "RON_TOKEN_FILE"  # noqa: S105  # the name of a variable
SHORT_TTL_SECONDS: Final = 60

_PEM_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_PEM_END: Final = "-----END CERTIFICATE-----"
_ANY_HOSTS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # what servers bind, as clients reach it


@dataclass(frozen=True)
class Target:
    """The global options. What follows from them is found when a command needs it."""

    data_dir: str | None = None
    config: str | None = None
    url: str | None = None
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    token_file: str | None = None
    tenant: str = "default"

    @cached_property
    def data_directory(self) -> Path:
        """``--data-dir``, ``KMS_DATA_DIR``, the configuration's, a dev server's here, or the default."""
        named = self.data_dir or os.environ.get(DATA_DIR_VARIABLE) or self._configured()
        if named is None:
            here = Path(DEV_DATA_DIR)
            named = str(here) if (here / SOCKET).exists() else Settings().data_dir
        return Path(named).absolute()

    def _configured(self) -> str | None:
        path = self.config or os.environ.get(CONFIG_VARIABLE)
        if not path:
            return None
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot read the configuration: {error}") from None
        found = parse_toml(text, origin=path).get("data_dir")
        return found if isinstance(found, str) else None

    def api(self, operations: list[Operation], key: str = "*") -> HttpClient:
        """A client of the HTTP API that may do ``operations`` on ``key``.

        The token comes from ``--token-file`` or RON_TOKEN_FILE; without one, a token for just this is
        minted over the admin socket, good for a minute."""
        token_file = self.token_file or os.environ.get(TOKEN_FILE_VARIABLE)
        if token_file:
            token = read_text(Path(token_file))
        else:
            arguments = MintArguments(
                self.tenant, operations, SHORT_TTL_SECONDS, [key], self._client_fingerprints()
            )
            token = ask(self.data_directory, "cap.mint", MintedToken, arguments).token
        return HttpClient(self._api_url(), token, tls=self._tls())

    def _client_fingerprints(self) -> list[str]:
        """What a token that is minted for this call is bound to."""
        if not self.client_cert:
            return []
        text = read_text(Path(self.client_cert))
        try:
            # The first of a chain is the client's own.
            first = text[text.index(_PEM_BEGIN) : text.index(_PEM_END) + len(_PEM_END)]
            certificate = ssl.PEM_cert_to_DER_cert(first)
        except ValueError:
            raise BadRequest(f"--client-cert: {self.client_cert} holds no certificate in PEM") from None
        return [hashlib.sha256(certificate).hexdigest()]

    def _api_url(self) -> str:
        named = self.url or os.environ.get(URL_VARIABLE)
        if named:
            return named
        status = ask(self.data_directory, "status", Status)
        address = parse_address(status.api)
        host = _ANY_HOSTS.get(address.host, address.host)
        bracketed = f"[{host}]" if ":" in host else host
        return f"{'https' if status.tls else 'http'}://{bracketed}:{address.port}"

    def _tls(self) -> ssl.SSLContext | None:
        if not (self.ca_file or self.client_cert):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.client_cert:
                context.load_cert_chain(self.client_cert, self.client_key)
        except (OSError, ssl.SSLError) as error:
            raise BadRequest(f"--ca-file, --client-cert, --client-key: {error}") from None
        return context


pass_target = click.make_pass_decorator(Target)
