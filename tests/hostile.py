"""Documents and variables that cost a careless server dearly, each with the codes of which it gets one."""

from dataclasses import dataclass, field
from typing import Any, Final

COMPLEX: Final = "QUERY_TOO_COMPLEX"
INVALID: Final = "GRAPHQL_VALIDATION_FAILED"
SYNTAX: Final = "GRAPHQL_PARSE_FAILED"
INPUT: Final = "BAD_USER_INPUT"

_CREATE = "mutation ($input: CreateConversationInput!) { createConversation(input: $input) { userErrors { code } } }"


@dataclass(frozen=True, slots=True)
class Hostile:
    """A request that must be refused."""

    name: str
    code: str
    query: str
    variables: dict[str, Any] = field(default_factory=dict)


def _many(text: str, count: int) -> str:
    return " ".join(text.replace("#", str(number)) for number in range(count))


def _nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


CORPUS: Final = (
    Hostile("16 aliases", COMPLEX, f"{{ {_many('a#: health { status }', 16)} }}"),
    Hostile("1 000 aliases", COMPLEX, f"{{ {_many('a#: health { status }', 1_000)} }}"),
    Hostile(
        "aliases in a fragment",
        COMPLEX,
        f"{{ viewer {{ user {{ ...f }} }} }} fragment f on User {{ {_many('a#: id', 16)} }}",
    ),
    Hostile("21 root fields", COMPLEX, f"{{ {_many('f#', 21)} }}"),
    Hostile("one field 480 times", COMPLEX, f"{{ {_many('health { status }', 480)} }}"),
    Hostile("one leaf 1 900 times", COMPLEX, f"{{ health {{ {_many('status', 1_900)} }} }}"),
    Hostile("11 levels", COMPLEX, '{ node(id: "") { ... on Message ' + "{ replyTo " * 9 + "{ id }" + " }" * 9 + " } }"),
    Hostile("100 levels", COMPLEX, "{ a " * 100 + "{ b }" + " }" * 100),
    Hostile("20 000 levels", COMPLEX, "{ a " * 20_000),
    Hostile(
        "levels in fragments",
        COMPLEX,
        "{ conversation(id: 1) { lastMessage { ...f0 } } } "
        + " ".join(f"fragment f{n} on Message {{ replyTo {{ ...f{n + 1} }} }}" for n in range(9))
        + " fragment f9 on Message { id }",
    ),
    Hostile(
        "fragments that double",
        COMPLEX,
        "{ conversation(id: 1) { lastMessage { ...f0 } } } "
        + " ".join(
            f"fragment f{n} on Message {{ replyTo {{ ...f{n + 1} }} x: replyTo {{ ...f{n + 1} }} }}" for n in range(7)
        )
        + " fragment f7 on Message { id }",
    ),
    Hostile(
        "200 fragments",
        COMPLEX,
        "{ viewer { user { " + _many("...f#", 200) + " } } } " + _many("fragment f# on User { id }", 200),
    ),
    Hostile(
        "fragments that nobody spreads",
        COMPLEX,
        "{ health { status } } fragment f on Health { " + _many("status", 200) + " }",
    ),
    Hostile(
        "a fragment in itself",
        INVALID,
        "{ viewer { user { ...a } } } fragment a on User { ...b } fragment b on User { ...a }",
    ),
    Hostile(
        "a fragment below itself",
        INVALID,
        "{ conversation(id: 1) { lastMessage { ...a } } } fragment a on Message { replyTo { ...a } }",
    ),
    Hostile(
        "fields that differ in long arguments",
        COMPLEX,
        "{ " + _many("nodes(ids: [" + "1 " * 20 + "]) { id }", 70) + " }",
    ),
    Hostile("31 directives", COMPLEX, "{ health { status " + "@skip(if: false) " * 31 + "} }"),
    Hostile("200 operations", COMPLEX, _many("query q# { health { status } }", 200)),
    Hostile("1 900 unknown fields", COMPLEX, f"{{ {_many('f#', 1_900)} }}"),
    Hostile("unknown fields", INVALID, f"{{ {_many('conversatio#', 20)} }}"),
    Hostile("600 unknown arguments", COMPLEX, f"{{ conversation({_many('a#: 1', 600)}) {{ id }} }}"),
    Hostile("240 unknown arguments", INVALID, f"{{ conversation({_many('a#: 1', 240)}) {{ id }} }}"),
    Hostile(
        "240 unknown fields of an input",
        COMPLEX,
        "mutation { createConversation(input: { " + _many("k#: 1", 240) + " }) { userErrors { code } } }",
    ),
    Hostile(
        "30 unknown fields of an input",
        INVALID,
        "mutation { createConversation(input: { " + _many("k#: 1", 30) + " }) { userErrors { code } } }",
    ),
    Hostile("480 unused variables", INVALID, f"query ({_many('$v#: Int', 480)}) {{ health {{ status }} }}"),
    Hostile("a value 190 lists deep", INVALID, "{ nodes(ids: " + "[" * 190 + "]" * 190 + ") { id } }"),
    Hostile("a list of 1 900", COMPLEX, "{ nodes(ids: [" + "1 " * 1_900 + "]) { id } }"),
    Hostile("50 000 tokens", COMPLEX, "{ " + "a " * 50_000 + "}"),
    Hostile("80 000 comments", COMPLEX, "#\n" * 80_000 + "{ health { status } }"),
    Hostile("a name of 250 000 letters", INVALID, "{ " + "a" * 250_000 + " }"),
    Hostile("braces only", SYNTAX, "{" + "}" * 100_000),
    Hostile(
        "the schema, over and over",
        INVALID,
        "{ __schema { types { fields { type { fields { type { fields { type { name } } } } } } } } }",
    ),
    Hostile(
        "two long pages",
        COMPLEX,
        "{ viewer { conversations(first: 100) { nodes { members(first: 100) { nodes { role } } } } } }",
    ),
    Hostile("a page of two billion", COMPLEX, "{ viewer { conversations(first: 2000000000) { nodes { id } } } }"),
    Hostile(
        "long pages by variables",
        COMPLEX,
        "query ($n: Int, $m: Int = 100) { viewer { conversations(first: $n) { nodes {"
        " members(first: $m) { nodes { role } } } } } }",
        {"n": 100},
    ),
    Hostile(
        "three pages of usual length",
        COMPLEX,
        "{ viewer { conversations { edges { node { messages { nodes { receipts { nodes { at } } } } } } } } }",
    ),
    Hostile("10 000 ids", COMPLEX, "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ["x"] * 10_000}),
    Hostile("1 900 wrong values", INPUT, "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": [{}] * 1_900}),
    Hostile("1 900 unknown keys", INPUT, _CREATE, {"input": {f"key{n}": n for n in range(1_900)}}),
    Hostile("deep variables", COMPLEX, _CREATE, {"input": _nested(50)}),
)
