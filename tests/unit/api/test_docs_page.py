"""The documentation page: everything of the document is on it, and nothing of it becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from ronkms.api.docs_page import docs_page
from ronkms.api.docs_page_text import inline, paragraphs

HOSTILE = "<script>alert(1)</script>"
VOID = {"meta", "input", "link", "br"}


def document(text: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "description": text,
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "maxLength": 3, "description": text},
            "child": {"$ref": "#/components/schemas/Thing"},
            "many": {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
            "never": False,
            "choice": {"anyOf": [{"const": text}, {"enum": ["a", "b"]}]},
        },
    }
    response = {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}, "examples": {}}},
    }
    operation = {
        "operationId": "make",
        "tags": ["Things"],
        "summary": text,
        "description": text,
        "parameters": [{"$ref": "#/components/parameters/limit"}],
        "requestBody": {
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/Thing"},
                    "examples": {"one": {"summary": text, "value": {"name": text}}},
                }
            }
        },
        "responses": {"200": response, "400": {"$ref": "#/components/responses/problem"}},
    }
    return {
        "info": {"title": "things", "version": "1", "description": text},
        "tags": [{"name": "Things", "description": text}],
        "paths": {"/things": {"post": operation}},
        "components": {
            "schemas": {"Thing": schema},
            "parameters": {"limit": {"name": "limit", "in": "query", "schema": {"type": "integer"}}},
            "responses": {"problem": {"description": text}},
        },
    }


class Outline(HTMLParser):
    """Ids, and whether every element was closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attrs)
        self.ids += filter(None, [values.get("id")])
        href = values.get("href") or ""
        if href.startswith("#"):
            self.targets.append(href[1:])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(text: str) -> Outline:
    parser = Outline()
    parser.feed(docs_page(document(text)).body.decode())
    assert parser.open == []
    return parser


def test_links_lead_somewhere_and_ids_are_unique() -> None:
    parsed = outline("plain")
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert {"op-make", "schema-thing", "tag-things", "schemas"} <= set(parsed.ids)
    assert set(parsed.targets) <= set(parsed.ids)


def test_text_of_the_document_never_becomes_markup() -> None:
    assert outline(HOSTILE).tags == outline("plain").tags


def test_members_bounds_and_examples_are_shown() -> None:
    html = docs_page(document("plain")).body.decode()
    for text in (
        "at most 3 characters",
        "array of",
        "at most 2 items",
        "&quot;name&quot;: &quot;plain&quot;",
    ):
        assert text in html


def test_text_blocks() -> None:
    assert inline("a `b<c` d") == "a <code>b&lt;c</code> d"
    assert paragraphs("one\n\n- a\n- `b`\n\n```\nx < y\n```") == (
        "<p>one</p><ul><li>a</li><li><code>b</code></li></ul><pre><code>x &lt; y</code></pre>"
    )
