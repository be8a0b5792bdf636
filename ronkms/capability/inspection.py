"""Shows what a token says, offline. Nothing here proves that a token is good: only the service can."""

from __future__ import annotations

from typing import Final

import msgspec
from biscuit_auth import BiscuitValidationError, UnverifiedBiscuit

from ronkms.capability.delegation import delegation_limit
from ronkms.capability.state import revocation_id
from ronkms.errors import BadRequest, KmsError

_EXPIRES: Final = "expires("


class Block(msgspec.Struct, frozen=True):
    """One block as Datalog text. ``revocation_id`` revokes this token and all that were made from it."""

    revocation_id: str
    statements: list[str]


class Inspection(msgspec.Struct, frozen=True):
    """What a token claims."""

    token_id: str
    """What the audit log calls it."""
    root: int | None
    expires: str | None
    """RFC 3339, as the authority block claims; attenuations may end it sooner."""
    delegations: int
    """How often the token was attenuated."""
    max_delegations: int
    """How often it and what it was made from may be, in all."""
    blocks: list[Block]


def inspect_token(token: str) -> Inspection:
    """Raises :class:`BadRequest` if it cannot be parsed."""
    try:
        parsed = UnverifiedBiscuit.from_base64(token)
    except BiscuitValidationError:
        raise BadRequest("this is no capability token, or it is damaged") from None
    blocks = [
        Block(revocation_id(signature), [line for line in parsed.block_source(index).splitlines() if line])
        for index, signature in enumerate(parsed.revocation_ids)
    ]
    expires = next((line for line in blocks[0].statements if line.startswith(_EXPIRES)), None)
    return Inspection(
        token_id=blocks[0].revocation_id,
        root=parsed.root_key_id(),
        expires=expires.removeprefix(_EXPIRES).removesuffix(");") if expires else None,
        delegations=len(blocks) - 1,
        max_delegations=delegation_limit(statement for block in blocks for statement in block.statements),
        blocks=blocks,
    )


def last_block_id(token: str) -> str:
    """The id that revokes this very token and what was made from it, not the one it was made from."""
    return inspect_token(token).blocks[-1].revocation_id


def claimed_id(token: str) -> str:
    """What an audit record says instead of a token that was given as an argument."""
    try:
        return f"token_id={inspect_token(token).token_id}"
    except KmsError:
        return "malformed"
