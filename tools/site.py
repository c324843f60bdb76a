"""What the documentation's site has beside docs/: the README, the changelog, the API's reference, and links that hold.

A hook of MkDocs; `make docs` runs it. Links to files that are no pages become their names.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLType,
    GraphQLUnionType,
    build_schema,
    get_named_type,
    is_introspection_type,
    is_specified_scalar_type,
)
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# Files of the repository that are pages here.
PAGES = {"README.md": "start.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
SCHEMA = "schema/schema.graphql"
ROOTS = {"Query": "queries", "Mutation": "mutations", "Subscription": "subscriptions"}
_LINK = re.compile(r"(?<!!)\[([^\]\n]+)\]\(([^)\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the decisions."""
    decisions = sorted(f"decisions/{path.name}" for path in (ROOT / "docs/decisions").glob("*.md"))
    assert config.nav is not None
    config.nav = [
        {"Decisions": decisions} if isinstance(entry, dict) and "Decisions" in entry else entry for entry in config.nav
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    added = {page: (ROOT / name).read_text() for name, page in PAGES.items()} | reference()
    for uri, content in added.items():
        files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Make links from the repository's into the site's."""
    uri = page.file.src_uri
    if uri.startswith("reference/"):
        return markdown
    source = next((name for name, made in PAGES.items() if made == uri), f"docs/{uri}")

    def link(found: re.Match[str]) -> str:
        text, target = found.groups()
        path, _, anchor = target.partition("#")
        if not path or "://" in target or target.startswith("mailto:"):
            return found[0]
        there = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if not (ROOT / there).exists():
            raise PluginError(f"{source} links to {target}, which does not exist")
        if there == SCHEMA:
            there = "docs/reference/index.md"
        made = PAGES.get(there) or (there.removeprefix("docs/") if there.startswith("docs/") else None)
        if made is None or not made.endswith(".md"):
            return text if text.startswith("`") else f"{text} (`{there}`)" if text not in there else f"`{there}`"
        return f"[{text}]({posixpath.relpath(made, posixpath.dirname(uri) or '.')}{'#' * bool(anchor)}{anchor})"

    return _LINK.sub(link, markdown)


def reference() -> dict[str, str]:
    """Return the pages of what the schema says."""
    schema = build_schema((ROOT / SCHEMA).read_text())
    named = [
        each
        for name, each in sorted(schema.type_map.items())
        if not is_introspection_type(each) and not is_specified_scalar_type(each) and name not in ROOTS
    ]
    pages: dict[str, list[str]] = {name: [] for name in ("types", "inputs", "values")}
    for each in named:
        pages[_page(each)] += _type(schema, each)
    titles = {
        "types": "Objects, interfaces and unions",
        "inputs": "Inputs",
        "values": "Enumerations and scalars",
    }
    found = {f"reference/{name}.md": "\n".join([f"# {titles[name]}", "", *lines]) for name, lines in pages.items()}
    for name, page in ROOTS.items():
        root = schema.type_map[name]
        assert isinstance(root, GraphQLObjectType)
        lines = [line for field, each in sorted(root.fields.items()) for line in _operation(field, each)]
        found[f"reference/{page}.md"] = "\n".join([f"# {page.capitalize()}", "", *lines])
    count = f"{len(named)} types"
    listed = [f"- [{page.capitalize()}]({page}.md)" for page in (*ROOTS.values(), *pages)]
    found["reference/index.md"] = "\n".join(
        [
            "# API reference",
            "",
            f"What `schema/schema.graphql` says of the API: {count}, each with its fields. `parley schema` prints it.",
            "",
            *listed,
        ]
    )
    return found


def _page(named: GraphQLNamedType) -> str:
    if isinstance(named, GraphQLInputObjectType):
        return "inputs"
    return "types" if isinstance(named, GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType) else "values"


def _operation(name: str, field: GraphQLField) -> Iterator[str]:
    yield f"## `{name}` {{ #{name} }}"
    yield from ("", _text(field.description), "", f"Returns {_link(field.type)}.{_deprecation(field)}", "")
    if field.args:
        yield from _table(("argument", "type", "meaning"), _arguments(field.args))


def _type(schema: GraphQLSchema, named: GraphQLNamedType) -> Iterator[str]:
    yield from (f"## {named.name} {{ #{named.name} }}", "", _text(named.description), "")
    if isinstance(named, GraphQLUnionType):
        yield from ("One of " + ", ".join(map(_link, named.types)) + ".", "")
    elif isinstance(named, GraphQLEnumType):
        rows = ((f"`{name}`", _cell(value.description)) for name, value in named.values.items())
        yield from _table(("value", "meaning"), rows)
    elif isinstance(named, GraphQLInputObjectType):
        yield from _table(("field", "type", "meaning"), _arguments(named.fields))
    elif isinstance(named, GraphQLObjectType | GraphQLInterfaceType):
        if named.interfaces:
            yield from ("Implements " + ", ".join(map(_link, named.interfaces)) + ".", "")
        if isinstance(named, GraphQLInterfaceType):
            objects = schema.get_possible_types(named)
            yield from ("Implemented by " + ", ".join(map(_link, objects)) + ".", "")
        rows = (
            (f"`{name}`{_brackets(field)}", _link(field.type), _cell(field.description) + _deprecation(field))
            for name, field in named.fields.items()
        )
        yield from _table(("field", "type", "meaning"), rows)


def _brackets(field: GraphQLField) -> str:
    return f" ({', '.join(f'`{name}`: {_link(each.type)}' for name, each in field.args.items())})" if field.args else ""


def _arguments(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name, each in found.items():
        yield f"`{name}`", _link(each.type), _cell(each.description)


def _deprecation(field: GraphQLField) -> str:
    return f" **Deprecated:** {_cell(field.deprecation_reason)}" if field.deprecation_reason else ""


def _link(kind: GraphQLType) -> str:
    named = get_named_type(kind)
    if is_specified_scalar_type(named):
        return f"`{kind}`"
    return f"[`{kind}`]({_page(named)}.md#{named.name})"


def _text(description: str | None) -> str:
    return (description or "").strip()


def _cell(description: str | None) -> str:
    return " ".join(_text(description).split()).replace("|", "\\|")


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""
