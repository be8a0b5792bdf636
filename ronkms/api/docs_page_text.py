"""The little Markdown that descriptions use, as HTML: paragraphs, ``code``, fenced blocks, list items.

All text is escaped first; no HTML passes through.
"""

from __future__ import annotations

import re
from html import escape
from typing import Final

_CODE: Final = re.compile(r"`+([^`]+)`+")
_FENCE: Final = "```"


def inline(text: str) -> str:
    """One run of text with code spans."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


def paragraphs(text: str) -> str:
    """Blocks parted by empty lines: fenced code, a list of ``- `` lines, or a paragraph."""
    return "".join(map(_block, filter(None, map(str.strip, text.split("\n\n")))))


def _block(block: str) -> str:
    if block.startswith(_FENCE):
        return f"<pre><code>{escape(block.strip('`').strip())}</code></pre>"
    if block.startswith("- "):
        items = block[2:].split("\n- ")
        return f"<ul>{''.join(f'<li>{inline(item)}</li>' for item in items)}</ul>"
    return f"<p>{inline(block)}</p>"
