"""Types and contract of the Cython hot path (``ext/_fastpath.pyx``)."""

def parse(body: bytes) -> dict[str, str | bytes | int] | None:
    """Members of a body of the known shape, decoded; None for any other. For the parser's tests."""
