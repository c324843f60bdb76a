"""What a release may change of the schema: compared with the last one, which clients were built on."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from graphql import GraphQLEnumType, GraphQLSchema, build_schema
from graphql.utilities import BreakingChangeType, find_breaking_changes, find_dangerous_changes

ROOT = Path(__file__).parents[2]
REMOVALS = {
    BreakingChangeType.FIELD_REMOVED,
    BreakingChangeType.ARG_REMOVED,
    BreakingChangeType.VALUE_REMOVED_FROM_ENUM,
}
COORDINATE = re.compile(r"\w+\.\w+(?:\(\w+:\))?")
DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")

RELEASED = build_schema((ROOT / "schema" / "released.graphql").read_text())
OURS = build_schema((ROOT / "schema" / "schema.graphql").read_text())
UNRELEASED = re.split(r"^## \[", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1]


def test_nothing_breaks_what_clients_of_the_last_release_do() -> None:
    assert breaking(RELEASED, OURS, datetime.now(UTC).date()) == []


def test_what_may_surprise_clients_of_the_last_release_is_in_the_changelog() -> None:
    assert untold(RELEASED, OURS, UNRELEASED) == []


def test_every_deprecation_says_from_which_day_it_may_be_gone() -> None:
    assert [coordinate for coordinate, reason in deprecations(OURS) if day_in(reason) is None] == []


def breaking(released: GraphQLSchema, ours: GraphQLSchema, today: date) -> list[str]:
    """Return what breaks clients; what was released as deprecated goes on the day that it said."""
    due = {where for where, reason in deprecations(released) if (day := day_in(reason)) is not None and day <= today}
    return [
        change.description
        for change in find_breaking_changes(released, ours)
        if not (change.type in REMOVALS and due & set(COORDINATE.findall(change.description)))
    ]


def untold(released: GraphQLSchema, ours: GraphQLSchema, changelog: str) -> list[str]:
    """Return the changes that can surprise a client and are not named in the changelog, as in `Type.field`."""
    told = set(re.findall(r"`([^`]+)`", changelog))
    names = released.type_map.keys() | ours.type_map.keys()
    return [
        change.description
        for change in find_dangerous_changes(released, ours)
        if not told.issuperset(
            COORDINATE.findall(change.description) or names & set(re.findall(r"\w+", change.description))
        )
    ]


def deprecations(schema: GraphQLSchema) -> Iterator[tuple[str, str]]:
    """Return the coordinates of what is deprecated, each with the reason."""
    for name, type_ in schema.type_map.items():
        members = type_.values if isinstance(type_, GraphQLEnumType) else getattr(type_, "fields", {})
        for member, definition in members.items():
            if definition.deprecation_reason is not None:
                yield f"{name}.{member}", definition.deprecation_reason
            for argument, its in getattr(definition, "args", {}).items():
                if its.deprecation_reason is not None:
                    yield f"{name}.{member}({argument}:)", its.deprecation_reason


def day_in(reason: str) -> date | None:
    """Return the day that a reason names; None when it names none, or one that there is not."""
    try:
        return date.fromisoformat(DATE.findall(reason)[-1])
    except (IndexError, ValueError):
        return None


def test_what_breaks_and_what_surprises_is_noticed() -> None:
    released = build_schema("type Query { a(x: Int): Int! b: B } enum B { ONE TWO } union U = Query")
    ours = build_schema(
        "type Query { a(x: Int, y: Int): Int b: B } type C { c: Int } enum B { ONE NEW } union U = Query | C"
    )

    assert len(breaking(released, ours, date.max)) == 2  # a may be null now, TWO is gone
    assert len(untold(released, ours, "nothing")) == 3
    assert untold(released, ours, "`Query.a(y:)`, `B.NEW`; `C` in `U`") == []


def test_what_is_deprecated_stays_until_the_day_that_it_said() -> None:
    released = build_schema(
        """type Query {
          a: Int @deprecated(reason: "Use `b`. Gone from 2027-03-01.")
          b(x: Int @deprecated(reason: "Of no use. Gone from 2027-02-30.")): Int
          c: Int @deprecated
        }"""
    )
    ours = build_schema("type Query { b: Int }")

    assert len(breaking(released, ours, date(2027, 2, 28))) == 3
    assert breaking(released, ours, date(2027, 3, 1)) == [
        change.description for change in find_breaking_changes(released, ours) if "Query.a" not in change.description
    ]
    assert [where for where, reason in deprecations(released) if day_in(reason) is None] == ["Query.b(x:)", "Query.c"]
