"""A process that has too much to do says so, and goes on with what matters most."""

from collections.abc import AsyncIterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from parley.load import IN_FLIGHT, Criticality
from tests.clients import SEND, Api, Json, Person
from tests.local_api import LocalApi, local_api
from tests.stack_process import StackProcess

HISTORY = "query ($id: ID!) { conversation(id: $id) { messages(last: 5) { edges { node { body } } } } }"


@pytest.fixture
async def overloaded(stack: StackProcess) -> AsyncIterator[LocalApi]:
    """A process that refuses everything but sends."""
    async with local_api(stack) as api:
        api.sockets.engine.load.in_flight = IN_FLIGHT[Criticality.ARRIVING - 1]
        yield api


async def test_history_is_refused_with_a_time_to_come_back_and_sends_go_on(api: Api, overloaded: LocalApi) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    async with Api(overloaded.url) as other:
        here = ann.at(other)
        refused = await other.http.post(
            f"{overloaded.url}/graphql",
            json={"query": HISTORY, "variables": {"id": conversation["id"]}},
            headers={"authorization": f"Bearer {ann.token}"},
        )
        sent = await here.send(conversation["id"], "now")

    (error,) = refused.json()["errors"]
    assert (refused.status_code, error["extensions"]["code"]) == (503, "OVERLOADED")
    assert error["extensions"]["retryable"]
    assert int(refused.headers["retry-after"]) >= error["extensions"]["retryAfterMs"] // 1_000 >= 1
    assert sent["message"]["body"] == "now"


async def test_open_sockets_stay_and_new_ones_are_refused(api: Api, stack: StackProcess) -> None:
    ann = await api.register()
    conversation = await ann.talk()
    async with local_api(stack) as local, Api(local.url) as other, ann.at(other).socket() as socket:
        updates = await socket.updates(conversation["id"])
        await updates.until_caught_up()
        local.sockets.engine.load.in_flight = IN_FLIGHT[Criticality.ARRIVING - 1]

        with pytest.raises(InvalidStatus) as raised:
            async with ann.at(other).socket():
                pass
        second = await socket.updates(conversation["id"])
        refused = await second.message()
        sent = await send(ann.at(other), conversation["id"])
        update = await updates.update()

    assert raised.value.response.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert (refused["type"], refused["payload"][0]["extensions"]["code"]) == ("error", "OVERLOADED")
    assert update["message"]["id"] == sent["id"]


async def send(person: Person, conversation_id: str) -> Json:
    response = await person.post(
        SEND, {"input": {"conversationId": conversation_id, "body": "now", "clientMessageId": "the-id"}}
    )
    message: Json = response["data"]["sendMessage"]["message"]
    return message
