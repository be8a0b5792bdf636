"""The floor: a Falcon POST that reads its body and answers a constant, under the same gunicorn settings."""

from __future__ import annotations

import falcon


class Echo:
    """Reads the body, parses nothing."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        req.bounded_stream.read()
        resp.content_type = "application/json"
        resp.data = b'{"signature":"bm90aGluZyBpcyBzaWduZWQgaGVyZQ=="}'


app = falcon.App()
app.add_route("/v1/kms/sign", Echo())
