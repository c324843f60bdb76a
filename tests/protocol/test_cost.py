"""What documents are reckoned to cost, and where the bounds are."""

from typing import Any

import pytest
from graphql import OperationDefinitionNode, get_introspection_query, parse
from hypothesis import given
from hypothesis import strategies as st

from parley.cost import TooComplexError, check_variables, measured, total
from parley.execution import Engine, RequestRefused
from schema.api import graphql_schema
from tests.clients import INBOX, SEND, UPDATES

SCHEMA = graphql_schema()


def cost(query: str, variables: dict[str, Any] | None = None) -> int:
    (found,) = measured(SCHEMA, parse(query)).values()
    return total(found.plans, variables or {})


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{ health { status } }", 0),
        ("{ viewer { conversations { nodes { id } } } }", 50),
        ("{ viewer { conversations(first: 7) { nodes { id } } } }", 7),
        ("{ viewer { conversations(last: 7) { edges { node { id } } } } }", 7),
        (
            "{ viewer { conversations(first: 3) { nodes { members(first: 4) { nodes { role user { handle } } } } } } }",
            15,
        ),
        ("{ viewer { conversations(first: 3) { nodes { lastMessage { receipts(last: 2) { nodes { at } } } } } } }", 9),
        ('{ nodes(ids: ["a", "b", "c"]) { id } }', 3),
        ('{ nodes(ids: ["a", "b"]) { ... on Conversation { members(first: 5) { nodes { role } } } } }', 12),
        ('{ a: users(search: "x", first: 2) { nodes { id } } b: users(search: "x", first: 3) { nodes { id } } }', 5),
        ("query ($n: Int = 4) { viewer { conversations(first: $n) { nodes { id } } } }", 4),
        ("query ($n: Int) { viewer { conversations(first: $n) { nodes { id } } } }", 50),
        ("{ viewer { ...v } } fragment v on Viewer { conversations(first: 6) { nodes { id } } }", 6),
        ("{ viewer { ...v } viewer { ...v } } fragment v on Viewer { conversations(first: 6) { nodes { id } } }", 6),
    ],
)
def test_a_document_costs_the_items_that_it_may_read(query: str, expected: int) -> None:
    assert cost(query) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(9, 9), (0, 0), (-5, 0), (None, 50), ("9", 50), (True, 50), (1.5, 50), ({}, 50), (2**70, 2**70)],
)
def test_a_size_in_a_variable_counts_whatever_it_is(value: object, expected: int) -> None:
    query = "query ($n: Int) { viewer { conversations(first: $n) { nodes { id } } } }"

    assert cost(query, {"n": value}) == expected


def test_ids_in_a_variable_count_each() -> None:
    assert cost("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ["x"] * 42}) == 42


@pytest.mark.parametrize("size", [100, 101])
def test_the_bound_is_what_it_is_said_to_be(size: int) -> None:
    query = (
        f"{{ viewer {{ conversations(first: {size}) {{ nodes {{ members(first: 49) {{ nodes {{ role }} }} }} }} }} }}"
    )
    (found,) = measured(SCHEMA, parse(query)).values()

    if size == 100:
        found.check(None)
    else:
        with pytest.raises(TooComplexError, match="5,050 items of lists to read; at most 5,000"):
            found.check(None)


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("{ " + " ".join(f"a{n}: health {{ status }}" for n in range(16)) + " }", "aliases"),
        ("{ " + " ".join(f"f{n}" for n in range(21)) + " }", "fields at its root"),
        ("{ health { status " + "@skip(if: false) " * 31 + "} }", "directives"),
        ("{ a " * 11 + "}" * 11, "levels of fields"),
    ],
)
def test_one_too_many_is_refused_and_named(query: str, what: str) -> None:
    with pytest.raises(TooComplexError, match=what):
        measured(SCHEMA, parse(query))


@pytest.mark.parametrize(
    "query",
    [
        "{ " + " ".join(f"a{n}: health {{ status }}" for n in range(15)) + " }",
        "{ " + " ".join(f"f{n}" for n in range(20)) + " }",
        "{ health { status " + "@skip(if: false) " * 30 + "} }",
        "{ a " * 10 + "}" * 10,
        UPDATES,
        INBOX,
        SEND,
    ],
)
def test_what_is_just_allowed_passes(query: str) -> None:
    assert measured(SCHEMA, parse(query))


def test_each_operation_of_a_document_has_bounds_of_its_own() -> None:
    operations = " ".join(f"query q{n} {{ a{n}: health {{ b{n}: status }} }}" for n in range(20))

    found = measured(SCHEMA, parse(operations))

    assert [node.name.value for node in found if isinstance(node, OperationDefinitionNode) and node.name] == [
        f"q{n}" for n in range(20)
    ]


@given(depth=st.integers(1, 40), width=st.integers(1, 3))
def test_variables_are_bounded_in_number_and_in_depth(depth: int, width: int) -> None:
    value: Any = 1
    count = 0
    for _ in range(depth if width == 1 else depth % 9):
        value = [value] * width
    level = [value]
    levels = 0
    while level:
        count += len(level)
        levels += 1
        level = [child for node in level if isinstance(node, list) for child in node]

    if count > 2_000 or levels >= 32:
        with pytest.raises(TooComplexError):
            check_variables({"x": value})
    else:
        check_variables({"x": value})


def test_whole_introspection_passes_where_it_is_on_and_only_there() -> None:
    query = get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
    )

    assert Engine(SCHEMA).operation(query, None).fields == {"__schema"}
    with pytest.raises(RequestRefused) as refused:
        Engine(SCHEMA, introspection=False).operation(query, None)
    assert refused.value.errors[0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert Engine(SCHEMA, introspection=False).operation("{ __typename health { __typename } }", None)


def test_misspelt_names_are_corrected_only_where_the_schema_may_be_seen() -> None:
    messages = []
    for introspection in (True, False):
        with pytest.raises(RequestRefused) as refused:
            Engine(SCHEMA, introspection=introspection).operation("{ healt { status } }", None)
        messages.append(refused.value.errors[0]["message"])

    assert messages == [
        "Cannot query field 'healt' on type 'Query'. Did you mean 'health'?",
        "Cannot query field 'healt' on type 'Query'.",
    ]


def test_documents_are_remembered_within_bounds() -> None:
    engine = Engine(SCHEMA)
    for number in range(400):
        engine.operation(f"query q{number} {{ health {{ status }} }} #{'x' * 1_000}", None)
    engine.operation("{ health { status } } #" + "x" * 20_000, None)

    assert engine.known(f"query q399 {{ health {{ status }} }} #{'x' * 1_000}", None)
    assert not engine.known(f"query q0 {{ health {{ status }} }} #{'x' * 1_000}", None)
    assert not engine.known("{ health { status } } #" + "x" * 20_000, None)
    assert sum(len(query) for query, _ in engine._cached) == engine._cached_characters <= 250_000
