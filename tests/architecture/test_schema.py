"""The schema that clients see: as committed, as promised, and described."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from graphql import DefinitionNode, parse, print_ast

from schema.api import sdl

SCHEMA = Path(__file__).parents[2] / "schema"


def definitions(text: str) -> dict[str, Any]:
    """Return the type definitions of an SDL text by name."""
    return {node.name.value: node for node in parse(text).definitions if hasattr(node, "name")}


CONTRACT, OURS = definitions((SCHEMA / "contract.graphql").read_text()), definitions(sdl())


def by_name(nodes: Iterable[Any] | None) -> dict[str, Any]:
    return {node.name.value: node for node in nodes or ()}


def input_of(node: Any) -> str:
    """Return the type and default of an argument or input field."""
    default = "" if node.default_value is None else f" = {print_ast(node.default_value)}"
    return print_ast(node.type) + default


def test_the_committed_schema_is_the_exported_one() -> None:
    assert (SCHEMA / "schema.graphql").read_text() == sdl(), "run `parley schema > schema/schema.graphql`"


@pytest.mark.parametrize("name", sorted(CONTRACT.keys() & OURS.keys()))
def test_what_the_contract_shares_is_exactly_as_promised(name: str) -> None:
    promised, ours = CONTRACT[name], OURS[name]

    assert ours.kind == promised.kind
    assert differences(promised, ours) == []


def differences(promised: Any, ours: Any) -> list[str]:
    """Return where a shared type says something else than promised; what is added does not count."""
    name, found = promised.name.value, list[str]()
    if promised.kind == "union_type_definition":
        return sorted(by_name(ours.types).keys() - by_name(promised.types).keys())
    if promised.kind == "enum_type_definition":
        return sorted(by_name(promised.values).keys() - by_name(ours.values).keys())
    found += sorted(
        by_name(getattr(promised, "interfaces", ())).keys() - by_name(getattr(ours, "interfaces", ())).keys()
    )
    theirs, mine = by_name(getattr(promised, "fields", ())), by_name(getattr(ours, "fields", ()))
    for field in theirs.keys() & mine.keys():
        where = f"{name}.{field}"
        if promised.kind == "input_object_type_definition":
            if input_of(theirs[field]) != input_of(mine[field]):
                found.append(f"{where}: {input_of(mine[field])}")
            continue
        if print_ast(theirs[field].type) != print_ast(mine[field].type):
            found.append(f"{where}: {print_ast(mine[field].type)}")
        promised_arguments, arguments = by_name(theirs[field].arguments), by_name(mine[field].arguments)
        found += [f"{where}({argument}:) is missing" for argument in promised_arguments.keys() - arguments.keys()]
        for argument, node in arguments.items():
            if argument not in promised_arguments:
                if input_of(node).endswith("!"):
                    found.append(f"{where}({argument}:) is required but not promised")
            elif input_of(node) != input_of(promised_arguments[argument]):
                found.append(f"{where}({argument}:): {input_of(node)}")
    if promised.kind == "input_object_type_definition":
        found += [f"{name}.{new} is required" for new in mine.keys() - theirs.keys() if input_of(mine[new])[-1] == "!"]
    return found


def test_a_loosened_contract_is_noticed() -> None:
    promised = definitions("type A { a(x: Int!): Int! b: Int } input I { i: Int = 1 } union U = A enum E { X }")
    ours = definitions("type A { a(x: Int, y: Int!): Int b: Int } input I { i: Int } union U = A | B enum E { Y }")

    assert differences(promised["A"], ours["A"]) == [
        "A.a: Int",
        "A.a(x:): Int",
        "A.a(y:) is required but not promised",
    ]
    assert differences(promised["I"], ours["I"]) == ["I.i: Int"]
    assert differences(promised["U"], ours["U"]) == ["B"]
    assert differences(promised["E"], ours["E"]) == ["X"]


def test_every_type_field_argument_and_value_is_described() -> None:
    assert undescribed(OURS.values()) == []


def undescribed(nodes: Iterable[DefinitionNode]) -> list[str]:
    """Return the coordinates without a description."""
    found: list[str] = []
    for node in nodes:
        name = node.name.value  # type: ignore[attr-defined]  # only named definitions come here
        if getattr(node, "description", None) is None:
            found.append(name)
        for field in [*(getattr(node, "fields", None) or ()), *(getattr(node, "values", None) or ())]:
            inner = [field, *(getattr(field, "arguments", None) or ())]
            found += [f"{name}.{field.name.value}: {part.name.value}" for part in inner if part.description is None]
    return found
