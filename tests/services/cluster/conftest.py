"""Redis is a cluster here."""

from collections.abc import Iterator

import pytest

from tests.redis_nodes import RedisNodes


@pytest.fixture(scope="package")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisNodes]:
    """An embedded cluster that nobody breaks for longer than a test."""
    with RedisNodes(tmp_path_factory.mktemp("cluster")).running() as nodes:
        yield nodes


@pytest.fixture(scope="package")
def redis_url(nodes: RedisNodes) -> str:
    return nodes.url
