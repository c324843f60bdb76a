"""A whole Parley whose Redis is a cluster."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.clients import Api
from tests.push_receiver import PUSH_SETTINGS
from tests.stack_process import StackProcess, running_stack


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """Two API processes, and nodes that tests may kill if they wait until all is well again."""
    directory = tmp_path_factory.mktemp("cluster")
    with running_stack(directory, replicas=2, environment=PUSH_SETTINGS, redis_cluster=True) as stack:
        yield stack


@pytest.fixture
async def apis(stack: StackProcess) -> AsyncIterator[tuple[Api, Api]]:
    """Clients of both API processes."""
    async with Api(stack.urls[0]) as one, Api(stack.urls[1]) as two:
        yield one, two
