"""nginx before three API processes that tests may stop and kill."""

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.clients import Api
from tests.deploy.nginx import Nginx, running_nginx
from tests.deploy.programs import program
from tests.stack_process import StackProcess, running_stack

_ADDRESSES = (f"198.51.100.{number}" for number in itertools.count(1))


@pytest.fixture(scope="package")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    program("nginx")
    environment = {"PARLEY_TRUSTED_PROXIES": "127.0.0.0/8", "PARLEY_LOG_LEVEL": "debug"}
    with running_stack(tmp_path_factory.mktemp("replicas"), replicas=3, environment=environment) as stack:
        yield stack


@pytest.fixture(scope="package")
def nginx(replicas: StackProcess) -> Iterator[Nginx]:
    with running_nginx(*(url.removeprefix("http://") for url in replicas.urls)) as nginx:
        yield nginx


@pytest.fixture
def address() -> str:
    """A client's address that no other test has, so that its limits are its own."""
    return next(_ADDRESSES)


@pytest.fixture
async def api(nginx: Nginx, address: str) -> AsyncIterator[Api]:
    """A client of nginx that has an address to itself."""
    async with Api(nginx.url) as api:
        api.http.headers["x-forwarded-for"] = address
        yield api
