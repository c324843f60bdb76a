"""What one document may ask for: bounded before it is validated, and its cost reckoned before it is run.

One walk goes through a document as an execution would, merging what has one name and following fragments, and gives up
at the first bound. So its own work is bounded too, and so is that of validation after it, which compares fields that
have one name pair by pair.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLList,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    value_from_ast_untyped,
)

TOKENS: Final = 2_000  # of a document; parsing more of them costs the event loop noticeable time
DEFINITIONS: Final = 60
DEPTH: Final = 10
INTROSPECTION_DEPTH: Final = 20  # tools ask how a type is wrapped, nine levels deep
ALIASES: Final = 15
ROOT_FIELDS: Final = 20
DIRECTIVES: Final = 30
SELECTIONS: Final = 1_500  # with those of fragments wherever they are spread
PAIRS: Final = 2_000  # of selections that validation has to compare
COST: Final = 5_000  # items of lists that may be asked for
PAGE: Final = 50  # items, when a page is asked for without its size
LITERALS: Final = 250  # in the arguments of a field; whoever has more uses variables
INPUT_FIELDS: Final = 30  # of one object in them
VALUES: Final = 2_000  # in the variables
VALUE_LEVELS: Final = 32

_INTROSPECTION: Final = frozenset({"__schema", "__type"})


class TooComplexError(Exception):
    """A document asks for more than one may; the message says what, how much, and how much is allowed."""

    def __init__(self, what: str, allowed: int, found: int | None = None) -> None:
        count = f"more than {allowed:,}" if found is None else f"{found:,}"
        super().__init__(f"The operation has {count} {what}; at most {allowed:,} are allowed.")


@dataclass(frozen=True, slots=True)
class Size:
    """How many items a field may give: a number, or what a variable says."""

    default: int
    variable: str | None = None

    def of(self, variables: Mapping[str, Any]) -> int:
        """Return the number for these variables."""
        value = None if self.variable is None else variables.get(self.variable)
        if isinstance(value, list):
            return len(value)
        # What is no number is refused when the variables are read.
        return max(0, value) if isinstance(value, int) and not isinstance(value, bool) else self.default


@dataclass(frozen=True, slots=True)
class Plan:
    """What a list costs: its items, and for each of them what is asked of it."""

    sizes: tuple[Size, ...]
    inner: tuple["Plan", ...]

    def cost(self, variables: Mapping[str, Any]) -> int:
        """Return how many items that may be."""
        return max(size.of(variables) for size in self.sizes) * (1 + total(self.inner, variables))


def total(plans: Iterable[Plan], variables: Mapping[str, Any]) -> int:
    """Return the cost of several lists."""
    return sum(plan.cost(variables) for plan in plans)


@dataclass(frozen=True, slots=True)
class Measured:
    """What the walk has found of one operation."""

    fields: frozenset[str]  # at its root
    plans: tuple[Plan, ...]

    def check(self, variables: Mapping[str, Any] | None) -> None:
        """See what it costs with these variables.

        Raises:
            TooComplexError: more than one operation may.
        """
        if self.plans and (cost := total(self.plans, variables or {})) > COST:
            raise TooComplexError("items of lists to read", COST, cost)


def check_variables(variables: Mapping[str, Any] | None) -> None:
    """See that variables are not out of all proportion.

    Raises:
        TooComplexError: they hold too many values, or are nested too deeply.
    """
    level: list[Any] = [variables or {}]
    count = 0
    for _ in range(VALUE_LEVELS):
        level = [
            child
            for node in level
            if isinstance(node, (dict, list))
            for child in (node.values() if isinstance(node, dict) else node)
        ]
        count += len(level)
        if count > VALUES:
            raise TooComplexError("values in its variables", VALUES)
        if not level:
            return
    raise TooComplexError("levels of nesting in its variables", VALUE_LEVELS)


def measured(schema: GraphQLSchema, document: DocumentNode) -> dict[OperationDefinitionNode, Measured]:
    """Return what each operation of a document asks for.

    Raises:
        TooComplexError: that is more than validation and execution should be given.
    """
    if len(document.definitions) > DEFINITIONS:
        raise TooComplexError("definitions", DEFINITIONS, len(document.definitions))
    walk = _Walk(schema, document)
    found: dict[OperationDefinitionNode, Measured] = {}
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            found[node] = walk.operation(node)
    for name, fragment in walk.fragments.items():
        if name not in walk.seen:  # validation looks at it too, before it says that nobody uses it
            walk.fragment(name, fragment)
    return found


def _check_literals(node: FieldNode) -> None:
    """See that a field's arguments are not out of all proportion: validation repeats them in what it says of them."""
    waiting = [argument.value for argument in node.arguments or ()]
    count = 0
    while waiting:
        value = waiting.pop()
        count += 1
        if isinstance(value, ListValueNode):
            waiting += value.values
        elif isinstance(value, ObjectValueNode):
            if len(value.fields) > INPUT_FIELDS:
                raise TooComplexError("fields in an input object", INPUT_FIELDS, len(value.fields))
            waiting += [field.value for field in value.fields]
    if count > LITERALS:
        raise TooComplexError("values in the arguments of a field", LITERALS, count)


@dataclass(frozen=True, slots=True)
class _Part:
    """A selection set, the type that it selects from (None: there is none), and the fragments that it lies in."""

    selections: SelectionSetNode
    parent: GraphQLNamedType | None
    inside: frozenset[str]


class _Walk:
    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self.fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self.seen: set[str] = set()  # fragments that somebody spreads
        self._schema = schema
        self._defaults: dict[str, ValueNode | None] = {}  # of the operation's variables
        self._selections = 0
        self._pairs = 0
        self._aliases = 0
        self._directives = 0

    def operation(self, node: OperationDefinitionNode) -> Measured:
        self._aliases = self._directives = 0
        self._defaults = {
            definition.variable.name.value: definition.default_value for definition in node.variable_definitions or ()
        }
        self._directive(node.directives)
        root = self._schema.get_root_type(node.operation)
        names: dict[str, str] = {}
        plans = self._level([_Part(node.selection_set, root, frozenset())], 1, DEPTH, names)
        if len(names) > ROOT_FIELDS:
            raise TooComplexError("fields at its root", ROOT_FIELDS, len(names))
        return Measured(frozenset(names.values()), plans)

    def fragment(self, name: str, node: FragmentDefinitionNode) -> None:
        self._aliases = self._directives = 0
        self._level([_Part(node.selection_set, self._type(node), frozenset({name}))], 1, DEPTH, {})

    def _level(self, parts: list[_Part], depth: int, limit: int, names: dict[str, str]) -> tuple[Plan, ...]:
        """Walk selection sets that an execution merges; put the fields' names by those of their results in `names`."""
        groups = self._groups(parts)
        if groups and depth > limit:
            raise TooComplexError("levels of fields", limit)
        plans: list[Plan] = []
        for result, fields in groups.items():
            self._compare(len(fields))
            names[result] = fields[0][0].name.value
            inner: list[_Part] = []
            sizes: set[Size] = set()
            for node, part in fields:
                field = self._field(part.parent, node)
                if field is not None and (size := self._size(field, node)) is not None:
                    sizes.add(size)
                if node.selection_set is not None:
                    parent = None if field is None else get_named_type(field.type)
                    inner.append(_Part(node.selection_set, parent, part.inside))
            deepest = INTROSPECTION_DEPTH if names[result] in _INTROSPECTION else limit
            below = self._level(inner, depth + 1, deepest, {}) if inner else ()
            plans += [Plan(tuple(sizes), below)] if sizes else below
        return tuple(plans)

    def _groups(self, parts: list[_Part]) -> dict[str, list[tuple[FieldNode, _Part]]]:
        """Return the fields of these selection sets by the names of their results, those in fragments too."""
        groups: dict[str, list[tuple[FieldNode, _Part]]] = {}
        spread: set[tuple[str, frozenset[str]]] = set()
        waiting = list(reversed(parts))
        while waiting:
            part = waiting.pop()
            for node in part.selections.selections:
                self._selections += 1
                if self._selections > SELECTIONS:
                    raise TooComplexError("selections, with those of its fragments", SELECTIONS)
                self._directive(node.directives)
                if isinstance(node, FieldNode):
                    _check_literals(node)
                    if node.alias is not None:
                        self._aliases += 1
                        if self._aliases > ALIASES:
                            raise TooComplexError("aliases", ALIASES)
                    name = node.alias or node.name
                    groups.setdefault(name.value, []).append((node, part))
                elif isinstance(node, InlineFragmentNode):
                    parent = part.parent if node.type_condition is None else self._type(node)
                    waiting.append(_Part(node.selection_set, parent, part.inside))
                elif isinstance(node, FragmentSpreadNode):
                    name_ = node.name.value
                    fragment = self.fragments.get(name_)
                    # One that lies in itself is refused by validation.
                    if fragment is not None and name_ not in part.inside and (name_, part.inside) not in spread:
                        spread.add((name_, part.inside))
                        self.seen.add(name_)
                        waiting.append(_Part(fragment.selection_set, self._type(fragment), part.inside | {name_}))
        self._compare(len(spread))
        return groups

    def _compare(self, count: int) -> None:
        """Note that validation compares so many things, each with each."""
        self._pairs += count * (count - 1) // 2
        if self._pairs > PAIRS:
            raise TooComplexError("pairs of selections to compare", PAIRS)

    def _directive(self, directives: Iterable[object] | None) -> None:
        self._directives += len(tuple(directives or ()))
        if self._directives > DIRECTIVES:
            raise TooComplexError("directives", DIRECTIVES)

    def _type(self, node: InlineFragmentNode | FragmentDefinitionNode) -> GraphQLNamedType | None:
        return None if node.type_condition is None else self._schema.get_type(node.type_condition.name.value)

    @staticmethod
    def _field(parent: GraphQLNamedType | None, node: FieldNode) -> GraphQLField | None:
        fields: Mapping[str, GraphQLField] = getattr(parent, "fields", None) or {}
        return fields.get(node.name.value)

    def _size(self, field: GraphQLField, node: FieldNode) -> Size | None:
        """Return how many items a field gives that is paged, or gives one for each of a list; None for any other."""
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        if "first" in field.args:
            pages = [size for name in ("first", "last") if (size := self._number(given.get(name))) is not None]
            return max(pages, key=lambda size: (size.variable is not None, size.default), default=Size(PAGE))
        if isinstance(get_nullable_type(field.type), GraphQLList):
            for name, argument in field.args.items():
                if isinstance(get_nullable_type(argument.type), GraphQLList):
                    return self._number(given.get(name)) or Size(0)
        return None

    def _number(self, value: ValueNode | None) -> Size | None:
        """Return a size as it is written; None where none is."""
        if isinstance(value, VariableNode):
            name = value.name.value
            default = self._number(self._defaults.get(name))
            return Size(PAGE if default is None else default.default, name)
        if isinstance(value, IntValueNode):
            return Size(max(0, value_from_ast_untyped(value)))
        if isinstance(value, ListValueNode):
            return Size(len(value.values))
        return None
