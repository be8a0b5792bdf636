"""One request at a time to the HTTP API, with a capability."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any, Final
from urllib.parse import urlsplit

from ronkms.client.remote_error import remote_error
from ronkms.errors import BadRequest, KmsError, Unavailable

TIMEOUT_SECONDS: Final = 30.0
MAX_ANSWER: Final = 64 << 20
JSON: Final = "application/json"
PEM: Final = "application/x-pem-file"


class HttpClient:
    """``token`` goes into the Authorization header and shows nowhere else."""

    def __init__(self, url: str, token: str, *, tls: ssl.SSLContext | None = None) -> None:
        """``url`` is http(s)://host:port. ``tls`` defaults to the system's authorities. Raises BadRequest."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.path not in ("", "/")
            or port == -1
        ):
            raise BadRequest("the API's URL has the form http://HOST:PORT or https://HOST:PORT")
        self._host = parts.hostname
        self._port = port
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self._token = token

    def __repr__(self) -> str:
        return f"HttpClient({self._host}:{self._port})"

    def json(self, method: str, path: str, body: object = None) -> Any:
        """The decoded JSON answer. Raises the service's error, or Unavailable."""
        return _decoded(self._request(method, path, body, JSON))

    def text(self, path: str, accept: str) -> str:
        """The answer of a GET as text. Raises as :meth:`json`."""
        return self._request("GET", path, None, accept).decode()

    def _request(self, method: str, path: str, body: object, accept: str) -> bytes:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": accept}
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = JSON
        connection = self._connection()
        try:
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            answer = response.read(MAX_ANSWER + 1)
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"the API at {self._host}:{self._port} does not answer: {error}") from None
        finally:
            connection.close()
        if len(answer) > MAX_ANSWER:
            raise KmsError(f"the API's answer is over {MAX_ANSWER} bytes")
        if response.status >= http.client.BAD_REQUEST:
            raise _problem(response.status, answer)
        return answer

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
        return http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_SECONDS, context=self._tls)


def _decoded(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except ValueError:
        raise KmsError("the answer is not JSON: is this the API of ron-kms?") from None


def _problem(status: int, answer: bytes) -> KmsError:
    try:
        problem = json.loads(answer)
        code, detail, corr_id = (str(problem[name]) for name in ("code", "detail", "corr_id"))
    except (ValueError, KeyError, TypeError):
        return KmsError(f"the API answered {status} without a problem document: is this ron-kms?")
    return remote_error(code, f"{code}: {detail} (corr_id {corr_id})")
