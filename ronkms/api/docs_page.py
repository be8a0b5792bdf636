"""The documentation page at ``/docs``: one HTML document made from the OpenAPI document, once, at start.

It loads nothing: style and script are inline and named by their hashes in the content security policy,
so the page works without internet and runs nothing but its own script.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any, Final

from ronkms.api.docs_page_text import inline, paragraphs

METHODS: Final = ("get", "put", "post", "delete", "patch")
Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DocsPage:
    """``body`` is UTF-8 HTML; ``content_security_policy`` must be sent with it."""

    body: bytes
    content_security_policy: str


def docs_page(document: Mapping[str, Any]) -> DocsPage:
    """Renders an OpenAPI 3.1 ``document`` whose references all point into its own components."""
    style = files("ronkms.api").joinpath("docs_page.css").read_text("utf-8")
    script = files("ronkms.api").joinpath("docs_page.js").read_text("utf-8")
    html = "".join(_Renderer(document).page(style, script))
    policy = (
        f"default-src 'none'; style-src 'sha256-{_digest(style)}'; script-src 'sha256-{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return DocsPage(html.encode(), policy)


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


class _Renderer:
    """Walks the document once. Every value of the document is escaped before it becomes HTML."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._schemas: Mapping[str, Schema] = document["components"]["schemas"]
        self._operations = [
            (method, path, item[method])
            for path, item in document["paths"].items()
            for method in METHODS
            if method in item
        ]

    def page(self, style: str, script: str) -> Iterator[str]:
        info = self._document["info"]
        yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
        yield f"<title>{escape(info['title'])} {escape(info['version'])}</title>"
        yield f"<style>{style}</style></head><body>"
        yield from self._navigation(info)
        yield '<main id="main">'
        yield f"<header><h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>"
        yield f'{paragraphs(info["description"])}<p><a href="/openapi.json">openapi.json</a></p></header>'
        for tag in self._document["tags"]:
            yield f'<section class="group" id="{_anchor("tag", tag["name"])}"><h2>{escape(tag["name"])}</h2>'
            yield paragraphs(tag["description"])
            for method, path, operation in self._operations:
                if tag["name"] in operation["tags"]:
                    yield from self._operation(method, path, operation)
            yield "</section>"
        yield from self._schema_section()
        yield f'<p id="nothing" hidden>Nothing matches.</p></main><script>{script}</script></body></html>'

    def _navigation(self, info: Mapping[str, Any]) -> Iterator[str]:
        yield '<a class="skip" href="#main">Skip to content</a><nav aria-label="Operations">'
        yield f'<p class="brand">{escape(info["title"])}</p>'
        yield '<input id="search" type="search" placeholder="Search ( / )" aria-label="Search">'
        for tag in self._document["tags"]:
            yield f'<p class="tag"><a href="#{_anchor("tag", tag["name"])}">{escape(tag["name"])}</a></p><ul>'
            for method, path, operation in self._operations:
                if tag["name"] in operation["tags"]:
                    target = _anchor("op", operation["operationId"])
                    yield f'<li data-for="{target}"><a href="#{target}" title="{escape(path)}">'
                    yield f"{_badge(method)}<span>{escape(operation['summary'])}</span></a></li>"
            yield "</ul>"
        yield '<p class="tag"><a href="#schemas">Schemas</a></p></nav>'

    def _operation(self, method: str, path: str, operation: Schema) -> Iterator[str]:
        target = _anchor("op", operation["operationId"])
        words = f"{method} {path} {operation['summary']} {operation['description']}".lower()
        yield f'<article id="{target}" data-words="{escape(words)}">'
        yield f'<h3><a href="#{target}">{escape(operation["summary"])}</a></h3>'
        yield f'<p class="route">{_badge(method)}<code>{escape(path)}</code></p>'
        yield paragraphs(operation["description"])
        yield from self._parameters(operation.get("parameters", ()))
        yield '<div class="columns"><div>'
        body = operation.get("requestBody")
        if body:
            media = body["content"]["application/json"]
            yield f"<h4>Request</h4>{self._shapes(media['schema'])}"
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                yield f"<h4>Response <code>{escape(status)}</code></h4>"
                for media_type, media in response.get("content", {}).items():
                    title = (
                        ""
                        if media_type == "application/json"
                        else f"<p><code>{escape(media_type)}</code></p>"
                    )
                    yield f"{title}{self._shapes(media['schema'])}"
        yield f"{self._errors(operation['responses'])}</div><div>"
        yield from self._examples(operation)
        yield "</div></div></article>"

    def _parameters(self, parameters: Sequence[Schema]) -> Iterator[str]:
        """Of path and query; the headers are the same for all operations and in the introduction."""
        shown = [each for each in map(self._resolve, parameters) if each["in"] != "header"]
        if not shown:
            return
        yield '<table class="fields"><tbody>'
        for parameter in shown:
            need = "required" if parameter.get("required") else "optional"
            name, text = escape(parameter["name"]), inline(parameter.get("description", ""))
            yield f"<tr><th><code>{name}</code> <i>{escape(parameter['in'])}, {need}</i></th>"
            yield f"<td>{self._kind(parameter['schema'])} {text}</td></tr>"
        yield "</tbody></table>"

    def _errors(self, responses: Mapping[str, Schema]) -> str:
        rows = [
            f"<li><code>{escape(status)}</code> {inline(self._resolve(response)['description'])}</li>"
            for status, response in responses.items()
            if not status.startswith("2")
        ]
        return f"<details><summary>Errors</summary><ul>{''.join(rows)}</ul></details>"

    def _examples(self, operation: Schema) -> Iterator[str]:
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        for name, example in body.get("examples", {}).items():
            yield _code(example.get("summary", name), example["value"])
        for status, response in operation["responses"].items():
            for media_type, media in response.get("content", {}).items():
                for name, example in media.get("examples", {}).items():
                    title = f"{status} {example.get('summary', name)}"
                    yield _code(title, example["value"], plain=media_type != "application/json")

    def _schema_section(self) -> Iterator[str]:
        yield '<section class="group" id="schemas"><h2>Schemas</h2>'
        for name, schema in sorted(self._schemas.items()):
            target = _anchor("schema", name)
            yield f'<article id="{target}" data-words="{escape(name.lower())}">'
            yield f'<h3><a href="#{target}">{escape(name)}</a></h3>'
            yield f"{paragraphs(schema.get('description', ''))}{self._shape(schema)}</article>"
        yield "</section>"

    def _shapes(self, schema: Schema) -> str:
        """The body of a request or response with its members; further alternatives are folded."""
        first, *others = schema.get("oneOf", [schema])
        folded = (
            f"<details><summary>or {self._kind(other)}</summary>{self._shape(self._resolve(other))}</details>"
            for other in others
        )
        return f'<p class="shape">{self._kind(first)}</p>{self._members(first)}{"".join(folded)}'

    def _members(self, schema: Schema) -> str:
        found = self._resolve(schema)
        return self._shape(found) if "properties" in found else ""

    def _shape(self, schema: Schema) -> str:
        """A table of members for an object, else the kind alone."""
        if "properties" not in schema:
            return f'<p class="shape">{self._kind(schema)}</p>'
        required = schema.get("required", ())
        rows = []
        for name, member in schema["properties"].items():
            need = "" if name in required else " <i>optional</i>"
            if member is False:
                rows.append(f'<tr><th><code>{escape(name)}</code></th><td class="bounds">refused</td></tr>')
                continue
            text = inline(member.get("description", ""))
            rows.append(
                f"<tr><th><code>{escape(name)}</code>{need}</th><td>{self._kind(member)} {text}</td></tr>"
            )
        return f'<table class="fields"><tbody>{"".join(rows)}</tbody></table>'

    def _kind(self, schema: Schema) -> str:
        """One line: what a value is and what bounds it."""
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[1]
            return f'<a class="kind" href="#{_anchor("schema", name)}">{escape(name)}</a>'
        for combined in ("anyOf", "oneOf"):
            if combined in schema:
                return " or ".join(self._kind(part) for part in schema[combined])
        if schema.get("type") == "array":
            return f"array of {self._kind(schema.get('items', {}))}{_bounds(schema)}"
        if isinstance(schema.get("additionalProperties"), Mapping):
            return f"map of {self._kind(schema['additionalProperties'])}{_bounds(schema)}"
        kind = schema.get("type", "any")
        if schema.get("contentEncoding"):
            kind = f"bytes, {schema['contentEncoding']}"
        if "const" in schema:
            kind = json.dumps(schema["const"])
        if "enum" in schema:
            kind = " | ".join(json.dumps(value) for value in schema["enum"])
        return f'<span class="kind">{escape(str(kind))}</span>{_bounds(schema)}'

    def _resolve(self, value: Schema) -> Schema:
        """``value``, or what its reference into the components names."""
        while "$ref" in value:
            _, *path = value["$ref"].split("/")
            value = self._document
            for step in path:
                value = value[step]
        return value


def _bounds(schema: Schema) -> str:
    """What limits a value; not of base64, whose characters nobody counts: the text says the bytes."""
    if "contentEncoding" in schema:
        return ""
    words = {
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
        "minimum": "from {}",
        "maximum": "to {}",
        "minItems": "at least {} items",
        "maxItems": "at most {} items",
        "maxProperties": "at most {} members",
        "pattern": "matches {}",
        "default": "default {}",
    }
    said = [text.format(schema[name]) for name, text in words.items() if name in schema]
    return f' <span class="bounds">{escape(", ".join(said))}</span>' if said else ""


def _badge(method: str) -> str:
    return f'<b class="method {method}">{method.upper()}</b>'


def _code(title: str, value: object, *, plain: bool = False) -> str:
    text = value if plain and isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    button = '<button type="button" class="copy" hidden>copy</button>'
    caption = f"<figcaption>{escape(title)}{button}</figcaption>"
    return f"<figure>{caption}<pre><code>{escape(text)}</code></pre></figure>"


def _anchor(kind: str, name: str) -> str:
    return escape(f"{kind}-{name.lower().replace(' ', '-')}")
