"""What all tests share: one real Parley with two API processes."""

from collections.abc import AsyncIterator, Iterator

import pytest
import structlog
from hypothesis import settings

from tests.clients import Api
from tests.push_receiver import PUSH_SETTINGS
from tests.stack_process import StackProcess, running_stack

# What it compares is shown as in a test.
pytest.register_assert_rewrite("tests.machine.talk")
# With the values of all variables, as structlog shows them by itself, a traceback takes a process under test a second.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper("iso"),
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)
# No test says how long anything may take: on a busy machine everything takes longer.
settings.register_profile("parley", deadline=None)
settings.load_profile("parley")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A Parley with two API processes that nobody kills."""
    with running_stack(tmp_path_factory.mktemp("parley"), replicas=2, environment=PUSH_SETTINGS) as stack:
        yield stack


@pytest.fixture(scope="module")  # few use it, and an idle Parley takes a tenth of a core
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A Parley with one API process, which tests of clients kill and wait for."""
    with running_stack(tmp_path_factory.mktemp("mortal"), replicas=1) as stack:
        yield stack


@pytest.fixture(scope="session")
def parley_url(stack: StackProcess) -> str:
    """The first API process's address."""
    return stack.urls[0]


@pytest.fixture
async def api(stack: StackProcess) -> AsyncIterator[Api]:
    """A client of the first API process."""
    async with Api(stack.urls[0]) as api:
        yield api


@pytest.fixture
async def other_api(stack: StackProcess) -> AsyncIterator[Api]:
    """A client of the second API process."""
    async with Api(stack.urls[1]) as api:
        yield api
