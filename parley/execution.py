"""Execution of GraphQL documents, the same over every transport: parse, validate, run, and say what went wrong."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson
import structlog
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    get_operation_ast,
    parse,
    specified_rules,
    validate,
)
from graphql.execution import Executor, create_source_event_stream, execute_root_selection_set
from graphql.execution.values import VariableValues, get_variable_values
from pymongo.errors import PyMongoError

from parley.cost import TOKENS, Measured, TooComplexError, check_variables, measured
from parley.load import Load
from parley.plans import Outcomes, Plan, plan, replaying
from parley.sharing import Sharing, sharing
from resolvers.context import Context
from services.errors import ChatError, UserError, UserErrorCode
from services.failures import described
from services.origins import SOURCE, Source
from services.streams import Stream
from services.tasks import Tasks
from services.tracing import traced

CACHED_OPERATIONS = 512
CACHED_CHARACTERS = 250_000  # of all their documents; each takes up to 400 bytes when it is read
LONGEST_CACHED = 20_000  # characters; a longer document is read each time
ERRORS = 10  # that a client is told of at once
MESSAGE_CHARACTERS = 500  # of an error; what is wrong may be a name of a quarter of a megabyte
PUBLIC_FIELDS: Final = frozenset({"health", "__schema", "__type", "__typename"})  # at the root, for everybody
EXECUTION_SECONDS = 10.0  # what a query or a mutation may take
CLOSING_SECONDS = 5.0  # what mutations may take that go on when a process ends

_logger = structlog.get_logger()

type Errors = list[dict[str, Any]]


class RequestRefused(Exception):
    """The request was wrong before anything ran; `errors` are ready for the client."""

    def __init__(self, errors: Errors) -> None:
        super().__init__(errors)
        self.errors = errors


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation of a valid document."""

    document: DocumentNode
    definition: OperationDefinitionNode
    name: str | None
    query: str
    measured: Measured
    sharing: Sharing | None  # which subscribers may share executions; None where it is no subscription
    plan: Plan | None  # None where graphql-core has to answer
    kind: str  # QUERY, MUTATION or SUBSCRIPTION
    root: str  # the field at its root that it is counted under: names of operations are its caller's, and without end

    @property
    def fields(self) -> frozenset[str]:
        """The fields at its root."""
        return self.measured.fields

    @property
    def is_subscription(self) -> bool:
        return self.definition.operation is OperationType.SUBSCRIPTION

    @property
    def is_mutation(self) -> bool:
        return self.definition.operation is OperationType.MUTATION


class Engine:
    """Executes operations against the schema."""

    def __init__(self, schema: GraphQLSchema, *, introspection: bool = True, trusted: Iterable[str] = ()) -> None:
        """Prepare.

        Args:
            schema: What operations are executed against.
            introspection: Whether clients may ask for the schema, and are helped with names that they misspelt.
            trusted: Documents that are read now and kept for good, whatever else is asked.
        """
        self._schema = schema
        self._introspection = introspection
        self._rules = specified_rules if introspection else (*specified_rules, NoSchemaIntrospectionCustomRule)
        self.load = Load()
        self._tasks = Tasks()
        self._cached: OrderedDict[tuple[str, str | None], Operation | Errors] = OrderedDict()  # the newest used last
        self._cached_characters = 0
        self._trusted = {key: operation for text in trusted for key, operation in self._read(text)}

    async def close(self) -> None:
        """Let mutations finish that are under way."""
        await self._tasks.close(grace_seconds=CLOSING_SECONDS)

    def operation(self, query: str, operation_name: str | None) -> Operation:
        """Return the operation of a request.

        Raises:
            RequestRefused: a syntax error, too much at once, a document that does not fit the schema, or no such
                operation.
        """
        key = (query, operation_name)
        if (trusted := self._trusted.get(key)) is not None:
            return trusted
        operation = self._cached.get(key)
        if operation is not None:
            self._cached.move_to_end(key)
        else:
            operation = self._prepare(query, operation_name)
            self._keep(key, operation)
        if isinstance(operation, list):
            raise RequestRefused(operation)
        return operation

    def _keep(self, key: tuple[str, str | None], operation: "Operation | Errors") -> None:
        """Remember an operation, and forget those used longest ago, so that nobody fills the memory."""
        if len(key[0]) > LONGEST_CACHED:
            return
        self._cached[key] = operation
        self._cached_characters += len(key[0])
        while len(self._cached) > CACHED_OPERATIONS or self._cached_characters > CACHED_CHARACTERS:
            (forgotten, _), _ = self._cached.popitem(last=False)
            self._cached_characters -= len(forgotten)

    def known(self, query: str, operation_name: str | None) -> Operation | None:
        """Return the operation of a request if that needs no work; None also where it is none."""
        key = (query, operation_name)
        operation = self._trusted.get(key) or self._cached.get(key)
        return operation if isinstance(operation, Operation) else None

    async def execute(
        self, operation: Operation, variables: dict[str, Any] | None, context: Context, request_id: str
    ) -> dict[str, Any]:
        """Run a query or a mutation; return its response, at the latest after 10 s.

        A mutation that has begun is finished, whether or not somebody still waits for it: what it has written may be
        half of what it has to write.

        Raises:
            RequestRefused: the variables do not fit, or ask for too much; nothing was run.
        """
        began, meter = time.perf_counter(), context.services.meter
        if operation.plan is not None:
            values = self._values(operation, variables)
            _note(operation.definition, context, request_id)
            outcomes: Outcomes = {}
            if operation.is_mutation:
                planned = operation.plan.answer_in_turn(context, values, outcomes)
            else:
                planned = operation.plan.answer(context, values)
            work = self._answer_as_planned(
                planned, lambda: self.executor(operation, variables, context, outcomes), request_id
            )
        else:
            executor = self.executor(operation, variables, context)
            _note(executor.operation, context, request_id)
            work = self._answer(executor, request_id)
        try:
            async with asyncio.timeout(EXECUTION_SECONDS):
                with traced(f"{operation.kind} {operation.root}"), self.load.working():
                    response = await (asyncio.shield(self._tasks.spawn(work)) if operation.is_mutation else work)
        except TimeoutError:
            response = {"data": None, "errors": [_out_of_time(operation)]}
        user_id = context.claims.user_id if context.claims else None
        found = codes(response["errors"]) if "errors" in response else ()
        meter.request(operation.kind, operation.root, milliseconds_since(began), user_id, found)
        return response

    async def open_stream(self, executor: Executor[Any], request_id: str) -> Stream:
        """Resolve a subscription's root field to the stream it asks for.

        Raises:
            RequestRefused: the stream may not begin.
        """
        _note(executor.operation, executor.context_value, request_id)
        stream: Any = create_source_event_stream(executor)
        if executor.is_awaitable(stream):
            stream = await stream
        if isinstance(stream, ExecutionResult):
            raise RequestRefused([formatted(error, request_id) for error in stream.errors or ()])
        return cast("Stream", stream)

    def executor(
        self,
        operation: Operation,
        variables: dict[str, Any] | None,
        context: Context,
        outcomes: Outcomes | None = None,
    ) -> Executor[Any]:
        """Return what can run the operation, but for fields at its root that have had their outcomes.

        Raises:
            RequestRefused: the variables do not fit, or ask for too much.
        """
        self._check(operation, variables)
        executor = Executor.build(
            self._schema,
            operation.document,
            None,
            context,
            variables,
            operation.name,
            max_coercion_errors=ERRORS,
            middleware=[replaying(outcomes)] if outcomes else None,
            hide_suggestions=not self._introspection,
        )
        if isinstance(executor, list):
            raise RequestRefused([_of_request(error, "BAD_USER_INPUT") for error in executor])
        return executor

    def _check(self, operation: Operation, variables: dict[str, Any] | None) -> None:
        """See that variables are not out of all proportion, and do not ask for too much. Raises as `executor`."""
        try:
            check_variables(variables)
            operation.measured.check(variables)
        except TooComplexError as error:
            raise RequestRefused([_error(str(error), "QUERY_TOO_COMPLEX")]) from None

    def _values(self, operation: Operation, variables: dict[str, Any] | None) -> VariableValues:
        """Return the values of an operation's variables. Raises as `executor`."""
        self._check(operation, variables)
        values = get_variable_values(
            self._schema,
            operation.definition.variable_definitions or (),
            variables or {},
            ERRORS,
            not self._introspection,
        )
        if isinstance(values, list):
            raise RequestRefused([_of_request(error, "BAD_USER_INPUT") for error in values])
        return values

    async def event(self, executor: Executor[Any], context: Context, value: object, request_id: str) -> bytes:
        """Return the serialised result of a subscription's document for one event.

        Raises:
            PyMongoError: MongoDB was away; the result would have lacked what it should show.
        """
        run = executor.build_per_event_executor(value)
        # Its copies share what each has collected, by lists that are each event's own: it would only grow.
        run._relevant_sub_fields = {}  # noqa: SLF001  # it has no name for it
        run.context_value = context
        structlog.contextvars.clear_contextvars()  # of whoever subscribed first
        _note(run.operation, context, request_id)
        result = run.execute_operation(False)  # its only, positional flag: not serially
        if run.is_awaitable(result):
            result = await result
        result = cast("ExecutionResult", result)
        for error in result.errors or ():
            if isinstance(error.original_error, PyMongoError):
                raise error.original_error
        return orjson.dumps(self.response(result, request_id))

    def response(self, result: ExecutionResult, request_id: str) -> dict[str, Any]:
        """Return a result as it is sent."""
        response: dict[str, Any] = {"data": result.data}
        if result.errors:
            response["errors"] = [formatted(error, request_id) for error in result.errors]
        return response

    async def _answer_as_planned(
        self, planned: Awaitable[dict[str, Any]], executor: Callable[[], Executor[Any]], request_id: str
    ) -> dict[str, Any]:
        try:
            return {"data": await planned}
        except Exception:  # noqa: BLE001  # graphql-core meets it again, and says what it is
            return await self._answer(executor(), request_id)

    async def _answer(self, executor: Executor[Any], request_id: str) -> dict[str, Any]:
        result = execute_root_selection_set(executor)
        if executor.is_awaitable(result):
            result = await result
        return self.response(cast("ExecutionResult", result), request_id)

    def _read(self, text: str) -> Iterable[tuple[tuple[str, str | None], Operation]]:
        """Return the operations of a trusted document by what asks for them."""
        try:
            definitions = parse(text, max_tokens=TOKENS).definitions
        except GraphQLError:
            definitions = ()
        operations = [node for node in definitions if isinstance(node, OperationDefinitionNode)]
        names = {node.name.value for node in operations if node.name is not None}
        for name in (*names, None) if len(operations) == 1 else names:
            operation = self._prepare(text, name)
            if isinstance(operation, Operation):
                yield (text, name), operation
            else:
                _logger.warning("document.not_valid", document=text[:200], errors=operation)
        if not operations:
            _logger.warning("document.not_valid", document=text[:200])

    def _prepare(self, query: str, operation_name: str | None) -> Operation | Errors:
        try:
            document = parse(query, max_tokens=TOKENS)
            operations = measured(self._schema, document)
        except GraphQLError as error:
            # The parser has no other way to say that it gave up.
            too_complex = "aborted" in error.message or "nested too deeply" in error.message
            return [_of_request(error, "QUERY_TOO_COMPLEX" if too_complex else "GRAPHQL_PARSE_FAILED")]
        except TooComplexError as error:
            return [_error(str(error), "QUERY_TOO_COMPLEX")]
        except RecursionError:
            return [_error("The document is nested too deeply.", "QUERY_TOO_COMPLEX")]
        errors = validate(
            self._schema, document, self._rules, max_errors=ERRORS, hide_suggestions=not self._introspection
        )
        if errors:
            return [_of_request(error, "GRAPHQL_VALIDATION_FAILED") for error in errors]
        definition = get_operation_ast(document, operation_name)
        if definition is None:
            message = "Name one of the document's operations." if operation_name is None else "No such operation."
            return [_error(message, "BAD_USER_INPUT")]
        kind = definition.operation
        return Operation(
            document,
            definition,
            operation_name,
            query,
            operations[definition],
            sharing=sharing(document, definition) if kind is OperationType.SUBSCRIPTION else None,
            plan=None if kind is OperationType.SUBSCRIPTION else plan(self._schema, document, definition),
            kind=kind.name,
            root=min(operations[definition].fields, default=""),
        )


def _note(operation: OperationDefinitionNode, context: object, request_id: str) -> None:
    """Have everything that is logged or written down from here on say what it belongs to."""
    name = operation.name
    structlog.contextvars.bind_contextvars(
        request_id=request_id,
        operation=None if name is None else name.value,
        viewer=context.claims.user_id if isinstance(context, Context) and context.claims else None,
    )
    SOURCE.set(Source(request_id, context.allowance.address if isinstance(context, Context) else None))


def _out_of_time(operation: Operation) -> dict[str, Any]:
    seconds = round(EXECUTION_SECONDS)
    if operation.is_mutation:
        message = f"This took more than {seconds} s, and may or may not have been done. Repeat it with the same ids."
        return _error(message, "COMMIT_UNKNOWN", retryable=True)
    return _error(f"This took more than {seconds} s. Ask for less.", "TIMEOUT", retryable=True)


def formatted(error: GraphQLError, request_id: str) -> dict[str, Any]:
    """Return an error of an execution for the client; what is not the caller's to know is logged and masked."""
    original = error.original_error
    match original:
        case None:
            # The library's own: an argument that does not fit its type.
            shown = _error(error.message[:MESSAGE_CHARACTERS], "BAD_USER_INPUT")
        case UserError(code=UserErrorCode.INVALID_INPUT):
            shown = _error(original.message, "BAD_USER_INPUT")
        case ChatError():
            shown = _error(original.message, original.code, retryable=original.retryable)
            if original.retry_after_ms is not None:
                shown["extensions"]["retryAfterMs"] = original.retry_after_ms
        case PyMongoError():
            _logger.warning("mongodb.failed", request_id=request_id, error=described(original))
            shown = _error("The service cannot do this now. Try again.", "UNAVAILABLE", retryable=True)
            shown["extensions"]["retryAfterMs"] = 1_000
        case _:
            _logger.error("request.failed", request_id=request_id, path=error.path, exc_info=original)
            shown = _error("Something went wrong.", "INTERNAL")
            shown["extensions"]["requestId"] = request_id
    return _with_place(shown, error)


def codes(errors: Iterable[dict[str, Any]]) -> list[str]:
    """Return the codes of errors that are ready for the client."""
    return [error["extensions"]["code"] for error in errors]


def milliseconds_since(began: float) -> float:
    """Return how long ago a time of `time.perf_counter` was."""
    return (time.perf_counter() - began) * 1_000


def _of_request(error: GraphQLError, code: str) -> dict[str, Any]:
    return _with_place(_error(error.message[:MESSAGE_CHARACTERS], code), error)


def _with_place(shown: dict[str, Any], error: GraphQLError) -> dict[str, Any]:
    if error.locations:
        shown["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    if error.path is not None:
        shown["path"] = list(error.path)
    return shown


def _error(message: str, code: str, *, retryable: bool = False) -> dict[str, Any]:
    return {"message": message, "extensions": {"code": str(code), "retryable": retryable}}
