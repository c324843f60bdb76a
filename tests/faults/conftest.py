"""A Parley that tests may break."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.clients import Api
from tests.stack_process import StackProcess, running_stack


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A stack with two API processes and two workers whose parts the tests of one module kill."""
    with running_stack(tmp_path_factory.mktemp("fragile"), replicas=2, workers=2) as stack:
        yield stack


@pytest.fixture
async def apis(fragile: StackProcess) -> AsyncIterator[tuple[Api, Api]]:
    """Clients of its two API processes."""
    first, second = fragile.urls
    async with Api(first) as one, Api(second) as two:
        yield one, two
