"""Plans: what a document asks for, worked out once, so that answering it is a walk over values.

graphql-core finds out anew for each value which fields are asked for, how they are resolved and what their types do. A
plan knows. It takes the way on which nothing goes wrong: whatever does, be it an exception, a null where there must be
none or a value that does not fit its type, ends it, and then graphql-core answers instead: a query from the beginning,
a mutation with the outcomes that its fields have had, so that nothing is done twice. All errors are graphql-core's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from inspect import iscoroutine, signature
from operator import attrgetter
from typing import Any, Final, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLAbstractType,
    GraphQLField,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_argument_values,
    is_abstract_type,
    is_enum_type,
    is_leaf_type,
)
from graphql.execution.values import VariableValues
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from loaders.later import Later
from resolvers.context import Context

_EXACT: Final[Mapping[str, type]] = {"String": str, "ID": str, "Boolean": bool}  # what needs no serialising
_INT_LIMIT: Final = 2**31

type Complete = Callable[["_Run", Any], Any]
type Resolve = Callable[["_Run", Any], Any]
type Outcomes = dict[str | int, Any]  # of fields at the root: a value, or the exception that was raised


class NotPlanned(Exception):
    """A plan does not know how to go on."""


class _Info:
    """What resolvers are told of the field that they resolve; they ask for nothing else."""

    __slots__ = ("context", "field_name")

    def __init__(self, context: Context, field_name: str) -> None:
        self.context = context
        self.field_name = field_name


class _Run:
    """One execution."""

    __slots__ = ("arguments", "context", "pending", "tasks", "variables")

    def __init__(self, context: Context, variables: VariableValues) -> None:
        self.context = context
        self.variables = variables
        self.arguments: dict[_Field, dict[str, Any]] = {}
        self.pending: list[tuple[Awaitable[Any], dict[str, Any], _Field]] = []
        self.tasks: list[asyncio.Task[Any]] = []

    def close(self) -> None:
        """End what is left when something went wrong."""
        for task in self.tasks:
            task.cancel()


@dataclass(slots=True, eq=False)
class _Field:
    """A field of an object, or a few that have one name in the answer."""

    key: str
    read: Callable[[Any], Any] | None  # for an attribute of the value; None where there is a resolver
    resolve: Resolve
    is_required: bool
    exact: type | None  # values of this class go into the answer as they are
    complete: Complete

    def put(self, run: _Run, value: Any, out: dict[str, Any]) -> None:
        """Put a value into the answer."""
        if value is None:
            if self.is_required:
                raise NotPlanned
            out[self.key] = None
        elif value.__class__ is self.exact:
            out[self.key] = value
        else:
            out[self.key] = self.complete(run, value)


class _Selection:
    """The fields that are asked for of an object type."""

    __slots__ = ("fields", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.fields: tuple[_Field, ...] = ()

    def complete(self, run: _Run, source: Any) -> dict[str, Any]:
        """Return an object's answer, in which some fields may still be pending."""
        out: dict[str, Any] = {}
        for field in self.fields:
            read = field.read
            if read is not None:
                value = read(source)
            else:
                value = field.resolve(run, source)
                if value.__class__ not in _PLAIN and (
                    iscoroutine(value) or value.__class__ is Later or asyncio.isfuture(value)
                ):
                    value = _begun(run, value)
                    if isinstance(value, (asyncio.Future, Later)):
                        out[field.key] = None  # its place
                        run.pending.append((value, out, field))
                        continue
            if value is None:
                if field.is_required:
                    raise NotPlanned
                out[field.key] = None
            elif value.__class__ is field.exact:
                out[field.key] = value
            else:
                out[field.key] = field.complete(run, value)
        return out


_PLAIN: Final = frozenset({str, int, bool, list, type(None)})  # what is quickly seen to be there already


def _begun(run: _Run, awaitable: Any) -> Any:
    """Return what it gives if that needs no waiting, else what to wait for."""
    if iscoroutine(awaitable):
        task = asyncio.Task(awaitable, loop=asyncio.get_running_loop(), eager_start=True)
        if not task.done():
            run.tasks.append(task)
            return task
        return task.result()
    return awaitable.result() if awaitable.done() else awaitable


class Plan:
    """How one operation is answered."""

    def __init__(self, root: _Selection) -> None:
        self._root = root

    async def answer(self, context: Context, variables: VariableValues) -> dict[str, Any]:
        """Return the data of a query.

        Raises:
            Exception: whatever went wrong; graphql-core is to answer.
        """
        run = _Run(context, variables)
        try:
            data = self._root.complete(run, None)
            await _settle(run)
        finally:
            run.close()
        return data

    async def answer_in_turn(self, context: Context, variables: VariableValues, outcomes: Outcomes) -> dict[str, Any]:
        """Return the data of a mutation: one field after the other, and what each has done goes into `outcomes`.

        Raises:
            Exception: as `answer`, but what has an outcome must not be done again.
        """
        data: dict[str, Any] = {}
        for field in self._root.fields:
            run = _Run(context, variables)
            try:
                try:
                    value = field.read(None) if field.read is not None else await field.resolve(run, None)
                except Exception as error:
                    outcomes[field.key] = error
                    raise
                outcomes[field.key] = value
                field.put(run, value, data)
                await _settle(run)
            finally:
                run.close()
        return data


async def _settle(run: _Run) -> None:
    """Wait for what is pending, and put it in its place.

    Loaders give whoever asks for the same the same future: of what it brings, a field makes the same each time.
    """
    made: dict[tuple[Awaitable[Any], _Field], Any] = {}
    while run.pending:
        waiting, run.pending = run.pending, []
        for awaitable, out, field in waiting:
            place = (awaitable, field)
            if place in made:
                out[field.key] = made[place]
            else:
                field.put(run, await awaitable, out)
                made[place] = out[field.key]


def replaying(outcomes: Outcomes) -> Callable[..., Any]:
    """Return a middleware for graphql-core by which fields at the root have the outcomes that they have already."""

    def resolve(next_: Callable[..., Any], root: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
        if info.path.prev is not None or info.path.key not in outcomes:
            return next_(root, info, **arguments)
        return _again(outcomes[info.path.key])

    return resolve


async def _again(outcome: Any) -> Any:
    """Have an outcome again, as a resolver has it: what it returned need not look like something that is there."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def plan(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> Plan | None:
    """Return how to answer an operation; None where graphql-core has to."""
    root = schema.get_root_type(operation.operation)
    assert root is not None  # the document is valid
    try:
        return Plan(_Planner(schema, document).selection(root, [operation.selection_set]))
    except NotPlanned:
        return None


class _Planner:
    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self._schema = schema
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }

    def selection(self, parent: GraphQLObjectType, sets: list[SelectionSetNode]) -> _Selection:
        """Return what these selection sets, merged, ask of a type."""
        groups: dict[str, list[FieldNode]] = {}
        seen: set[str] = set()
        for selections in sets:
            self._collect(parent, selections, groups, seen)
        found = _Selection(parent.name)
        found.fields = tuple(self._field(parent, key, nodes) for key, nodes in groups.items())
        return found

    def _collect(
        self,
        parent: GraphQLObjectType,
        selections: SelectionSetNode,
        groups: dict[str, list[FieldNode]],
        seen: set[str],
    ) -> None:
        for node in selections.selections:
            if node.directives:
                raise NotPlanned  # `@skip` and `@include`: what is asked for depends on variables
            if isinstance(node, FieldNode):
                groups.setdefault(node.alias.value if node.alias else node.name.value, []).append(node)
            elif isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                if condition is None or self._applies(parent, condition.name.value):
                    self._collect(parent, node.selection_set, groups, seen)
            else:
                assert isinstance(node, FragmentSpreadNode)
                name = node.name.value
                fragment = self._fragments[name]
                if name not in seen and self._applies(parent, fragment.type_condition.name.value):
                    seen.add(name)
                    self._collect(parent, fragment.selection_set, groups, seen)

    def _applies(self, parent: GraphQLObjectType, name: str) -> bool:
        condition = self._schema.type_map[name]
        return condition is parent or (is_abstract_type(condition) and self._schema.is_sub_type(condition, parent))

    def _field(self, parent: GraphQLObjectType, key: str, nodes: list[FieldNode]) -> _Field:
        name = nodes[0].name.value
        if name == "__typename":
            return _Field(key, lambda _: parent.name, _nothing, is_required=True, exact=str, complete=_nothing)
        definition = parent.fields.get(name)
        if definition is None:  # introspection
            raise NotPlanned
        kind, is_required = _nullable(definition.type)
        exact = _EXACT.get(kind.name) if isinstance(kind, GraphQLNamedType) else None
        complete = self._complete(kind, [node.selection_set for node in nodes if node.selection_set])
        own: StrawberryField | None = definition.extensions.get("strawberry-definition")
        if own is None or own.extensions or own.is_subscription:
            raise NotPlanned
        field = _Field(key, None, _nothing, is_required=is_required, exact=exact, complete=complete)
        if own.base_resolver is None:
            field.read = attrgetter(own.python_name)
        else:
            field.resolve = _resolver(field, own, definition, nodes[0], self._schema)
        return field

    def _complete(self, kind: Any, sets: list[SelectionSetNode]) -> Complete:
        """Return what makes a value that is not null part of an answer."""
        if isinstance(kind, GraphQLList):
            item, is_required = _nullable(kind.of_type)
            return _list(self._complete(item, sets), is_required=is_required)
        if is_leaf_type(kind):
            return _leaf(kind)
        if is_abstract_type(kind):
            return self._abstract(kind, sets)
        return self.selection(cast("GraphQLObjectType", kind), sets).complete

    def _abstract(self, kind: GraphQLAbstractType, sets: list[SelectionSetNode]) -> Complete:
        possible = self._schema.get_possible_types(kind)
        selections = [(member, self.selection(member, sets)) for member in possible]
        by_class: dict[type, Complete] = {}

        def complete(run: _Run, value: Any) -> Any:
            found = by_class.get(value.__class__)
            if found is None:
                # Types tell their values by the class alone.
                found = by_class[value.__class__] = next(
                    (
                        selection.complete
                        for member, selection in selections
                        if member.is_type_of is not None and member.is_type_of(value, cast("Any", None))
                    ),
                    _nothing,
                )
            return found(run, value)

        return complete


def _nothing(_run: _Run, _value: Any) -> Any:
    raise NotPlanned


def _nullable(kind: GraphQLOutputType) -> tuple[Any, bool]:
    """Return a type without its `!`, and whether it had one."""
    return (kind.of_type, True) if isinstance(kind, GraphQLNonNull) else (kind, False)


def _leaf(kind: GraphQLLeafType) -> Complete:
    serialize = kind.coerce_output_value
    match kind.name:
        case "Int":

            def complete_int(_run: _Run, value: Any) -> Any:
                if value.__class__ is int and -_INT_LIMIT <= value < _INT_LIMIT:
                    return value
                return serialize(value)

            return complete_int
        case _ if is_enum_type(kind):
            names: dict[Any, Any] = {}

            def complete_enum(_run: _Run, value: Any) -> Any:
                if value not in names:
                    names[value] = serialize(value)
                return names[value]

            return complete_enum
        case _:
            return lambda _run, value: serialize(value)


def _list(complete: Complete, *, is_required: bool) -> Complete:
    def complete_list(run: _Run, values: Any) -> list[Any]:
        if not isinstance(values, (list, tuple)):
            raise NotPlanned
        if None in values:
            if is_required:
                raise NotPlanned
            return [None if value is None else complete(run, value) for value in values]
        return [complete(run, value) for value in values]

    return complete_list


def _resolver(
    field: _Field, own: StrawberryField, definition: GraphQLField, node: FieldNode, schema: GraphQLSchema
) -> Resolve:
    """Return what calls a resolver as Strawberry would."""
    resolver = own.base_resolver
    assert resolver is not None
    function = cast("Callable[..., Any]", resolver.wrapped_func)
    if resolver.self_parameter is not None:
        raise NotPlanned
    root = resolver.parent_parameter or resolver.root_parameter
    parent = root.name if root else None
    info = resolver.info_parameter.name if resolver.info_parameter else None
    name = node.name.value
    if not own.arguments:
        match list(signature(function).parameters):
            case [first] if first == parent:
                return lambda _run, source: function(source)
            case [first, second] if (first, second) == (parent, info):
                return lambda run, source: function(source, _Info(run.context, name))
            case _:
                pass  # it is called by name
    converter = schema.extensions["strawberry-definition"].schema_converter

    def arguments(run: _Run) -> dict[str, Any]:
        """Return a field's arguments: they are the same wherever it is in the answer."""
        found = run.arguments.get(field)
        if found is None:
            values = get_argument_values(definition, node, run.variables)
            found = run.arguments[field] = convert_arguments(
                values, own.arguments, converter.scalar_registry, converter.config
            )
        return found

    def resolve(run: _Run, source: Any) -> Any:
        found = dict(arguments(run)) if own.arguments else {}
        if parent is not None:
            found[parent] = source
        if info is not None:
            found[info] = _Info(run.context, name)
        return function(**found)

    return resolve
