"""What a log may say of an exception: what happened, never a value that somebody has sent or stored."""

from typing import Final

from aiokafka.errors import KafkaError
from pydantic import ValidationError
from pymongo.errors import ConnectionFailure, OperationFailure
from redis.exceptions import RedisError

from services.errors import ChatError

# What these say is of programs and servers. All others may repeat the value that they are about.
_SPEAKING: Final = (
    ChatError,
    ConnectionFailure,
    KafkaError,
    RedisError,
    OSError,
    AssertionError,
    AttributeError,
    ImportError,
    NameError,
    RuntimeError,
    TypeError,
)


def described(error: BaseException) -> str:
    """Return an exception in one line for a log."""
    name = type(error).__qualname__
    match error:
        case ValidationError():
            places = [".".join(map(str, problem["loc"])) + ": " + problem["type"] for problem in error.errors()]
            return f"{name}: {error.title}: {', '.join(places)}"
        case OperationFailure(code=code):
            return f"{name}: code {code}"
        case _ if isinstance(error, _SPEAKING):
            return f"{name}: {error}"
        case _:
            return name
