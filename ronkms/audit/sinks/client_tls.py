"""TLS towards a sink: its certificate is verified, and ours shown if there is one."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from ronkms.domain.audit_sink import AuditSink


def context_of(sink: AuditSink) -> Callable[[], ssl.SSLContext] | None:
    """Makes the context anew for each connection, so that replaced files are seen; None without TLS."""
    if not sink.place.secure:
        return None

    def make() -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=sink.ca_file or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if sink.cert_file:
            context.load_cert_chain(sink.cert_file, sink.key_file)
        return context

    return make
