"""The log of a process: one JSON object a line on standard error, or lines for people where that is a terminal.

No bodies of messages, no passwords, no tokens and no addresses get into it: nobody logs them, and of exceptions only
that is shown which cannot hold them.
"""

import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from services.config import LogLevel
from services.failures import described

CHAIN: Final = 5  # exceptions that led to one another
FOREIGN_CHARACTERS: Final = 300  # of a line that a library logs

type Report = Callable[[BaseException, EventDict], None]


def configure(level: LogLevel = LogLevel.INFO, stream: TextIO | None = None, report: Report | None = None) -> None:
    """Log to a stream, standard error unless another is given; what libraries log goes there too.

    Args:
        level: What is logged; warnings of libraries always.
        stream: Where to.
        report: Is told of every exception that is logged as an error, with the line that it is logged in.
    """
    stream = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        partial(_show_exception, report),
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer() if stream.isatty() else structlog.processors.JSONRenderer(default=str)
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level.value),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, _shorten, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    # It says several lines each time it tries a broker that is away; what matters of that we log ourselves.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def _shorten(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep the first line of what a library says: asyncio goes on with an exception's values."""
    event["event"] = str(event["event"]).partition("\n")[0][:FOREIGN_CHARACTERS]
    return event


def _show_exception(report: Report | None, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    given = event.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else given[1] if isinstance(given, tuple) else None
    if given is True:
        error = sys.exception()
    if error is not None:
        if report is not None and event["level"] in {"error", "critical"}:
            report(error, event)
        event["exception"] = "\n".join(_lines(error))
    return event


def _lines(error: BaseException) -> Iterator[str]:
    """Return where an exception came from, and those that led to it, the newest first."""
    current: BaseException | None = error
    for number in range(CHAIN):
        if current is None:
            return
        yield "Traceback (most recent call last):" if not number else "which came of:"
        yield "".join(traceback.format_tb(current.__traceback__)) + described(current)
        if isinstance(current, BaseExceptionGroup):
            yield from (f"with {described(part)}" for part in current.exceptions)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
