"""Execution of GraphQL documents, the same over every transport: parse, validate, run, and say what went wrong."""

import asyncio
from collections import OrderedDict
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
from pymongo.errors import PyMongoError

from parley.cost import TOKENS, Measured, TooComplexError, check_variables, measured
from parley.sharing import Sharing, sharing
from resolvers.context import Context
from services.errors import ChatError, UserError, UserErrorCode
from services.failures import described
from services.streams import Stream
from services.tasks import Tasks

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

    def __init__(self, schema: GraphQLSchema, *, introspection: bool = True) -> None:
        """Prepare.

        Args:
            schema: What operations are executed against.
            introspection: Whether clients may ask for the schema, and are helped with names that they misspelt.
        """
        self._schema = schema
        self._introspection = introspection
        self._rules = specified_rules if introspection else (*specified_rules, NoSchemaIntrospectionCustomRule)
        self._tasks = Tasks()
        self._cached: OrderedDict[tuple[str, str | None], Operation | Errors] = OrderedDict()  # the newest used last
        self._cached_characters = 0

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
        operation = self._cached.get((query, operation_name))
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
        executor = self.executor(operation, variables, context)
        _note(executor, request_id)
        work = self._answer(executor, request_id)
        try:
            async with asyncio.timeout(EXECUTION_SECONDS):
                return await (asyncio.shield(self._tasks.spawn(work)) if operation.is_mutation else work)
        except TimeoutError:
            return {"data": None, "errors": [_out_of_time(operation)]}

    async def open_stream(self, executor: Executor[Any], request_id: str) -> Stream:
        """Resolve a subscription's root field to the stream it asks for.

        Raises:
            RequestRefused: the stream may not begin.
        """
        _note(executor, request_id)
        stream: Any = create_source_event_stream(executor)
        if executor.is_awaitable(stream):
            stream = await stream
        if isinstance(stream, ExecutionResult):
            raise RequestRefused([formatted(error, request_id) for error in stream.errors or ()])
        return cast("Stream", stream)

    def executor(self, operation: Operation, variables: dict[str, Any] | None, context: Context) -> Executor[Any]:
        """Return what can run the operation.

        Raises:
            RequestRefused: the variables do not fit, or ask for too much.
        """
        try:
            check_variables(variables)
            operation.measured.check(variables)
        except TooComplexError as error:
            raise RequestRefused([_error(str(error), "QUERY_TOO_COMPLEX")]) from None
        executor = Executor.build(
            self._schema,
            operation.document,
            None,
            context,
            variables,
            operation.name,
            max_coercion_errors=ERRORS,
            hide_suggestions=not self._introspection,
        )
        if isinstance(executor, list):
            raise RequestRefused([_of_request(error, "BAD_USER_INPUT") for error in executor])
        return executor

    async def event(self, executor: Executor[Any], context: Context, value: object, request_id: str) -> bytes:
        """Return the serialised result of a subscription's document for one event.

        Raises:
            PyMongoError: MongoDB was away; the result would have lacked what it should show.
        """
        run = executor.build_per_event_executor(value)
        run.context_value = context
        structlog.contextvars.clear_contextvars()  # of whoever subscribed first
        _note(run, request_id)
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

    async def _answer(self, executor: Executor[Any], request_id: str) -> dict[str, Any]:
        result = execute_root_selection_set(executor)
        if executor.is_awaitable(result):
            result = await result
        return self.response(cast("ExecutionResult", result), request_id)

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
        is_subscription = definition.operation is OperationType.SUBSCRIPTION
        shared = sharing(document, definition) if is_subscription else None
        return Operation(document, definition, operation_name, query, operations[definition], shared)


def _note(executor: Executor[Any], request_id: str) -> None:
    """Have everything that is logged from here on say what it belongs to."""
    name, context = executor.operation.name, executor.context_value
    structlog.contextvars.bind_contextvars(
        request_id=request_id,
        operation=None if name is None else name.value,
        viewer=context.claims.user_id if isinstance(context, Context) and context.claims else None,
    )


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
