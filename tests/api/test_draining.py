"""A process that is asked to stop: unready, then closed to new sockets, then emptied; what it has begun is finished."""

import asyncio
import time

import httpx

from parley.protocol import CloseCode
from tests.clients import SEND, Api, Running, Socket
from tests.faults.harness import until
from tests.local_api import LocalApi, local_api
from tests.raw_socket import RawSocket
from tests.stack_process import StackProcess


async def is_ready(api: Api) -> bool:
    return (await api.http.get(f"{api.url}/health/ready")).status_code == 200


async def following(socket: Socket, conversation_id: str) -> Running:
    updates = await socket.updates(conversation_id)
    await updates.until_caught_up()
    return updates


async def stopped(local: LocalApi) -> float:
    """Ask for the stop; return how many seconds it took."""
    began = time.monotonic()
    local.stop()
    await asyncio.wait([local.running], timeout=30)
    assert local.running.done()
    return time.monotonic() - began


async def test_readiness_goes_first_then_new_sockets_are_refused_then_those_there_are_closed(
    stack: StackProcess,
) -> None:
    async with local_api(stack, drain_seconds=1.0) as local, Api(local.url) as api:
        ann = await api.register()
        conversation = await ann.talk()
        async with ann.socket() as socket:
            updates = await following(socket, conversation["id"])
            assert await is_ready(api)

            local.stop()
            await until(lambda: local.services.health.draining, "draining")
            was_ready = await is_ready(api)
            async with RawSocket.open(api) as refused:
                status = refused.status
            # Who is there already goes on, over the socket and over HTTP.
            sent = await ann.send(conversation["id"], "still here")
            update = await updates.update()
            end = await updates.message()

    assert (was_ready, status) == (False, 503)
    assert update["sequence"] == sent["message"]["sequence"]
    assert end == {"type": "closed", "code": CloseCode.DRAINING}


async def test_sockets_leave_one_group_after_the_other(stack: StackProcess) -> None:
    async with local_api(stack, closing_seconds=1.0) as local, Api(local.url) as api:
        ann = await api.register()
        conversation = await ann.talk()
        async with ann.socket() as one, ann.socket() as two, ann.socket() as three:
            runs = [await following(socket, conversation["id"]) for socket in (one, two, three)]

            async def closed_at(run: Running) -> float:
                assert await run.message() == {"type": "closed", "code": CloseCode.DRAINING}
                return time.monotonic()

            closed = [asyncio.create_task(closed_at(run)) for run in runs]
            seconds = await stopped(local)
            times = sorted(await asyncio.gather(*closed))

    assert times[1] - times[0] < times[2] - times[1]  # two of three, and half a second later the third
    assert times[2] - times[1] > 0.4
    assert seconds < 5


async def test_a_mutation_under_way_is_answered_before_its_socket_closes(stack: StackProcess) -> None:
    async with local_api(stack) as local, Api(local.url) as api:
        ann = await api.register()
        conversation = await ann.talk()
        async with ann.socket() as socket:
            with stack.stopped("mongo"):
                fields = {"conversationId": conversation["id"], "body": "x", "clientMessageId": "m"}
                running = await socket.start(SEND, {"input": fields})
                (served,) = local.sockets.open
                await until(lambda: served._connection.is_answering, "answering")
                local.stop()
                await until(lambda: served._leave_by < float("inf"), "told to leave")
            answers = [await running.message() for _ in range(3)]

    assert answers[0]["payload"]["data"]["sendMessage"]["message"]["body"] == "x"
    assert [answer["type"] for answer in answers] == ["next", "complete", "closed"]
    assert answers[2]["code"] == CloseCode.DRAINING


async def test_with_nobody_there_it_ends_right_after_the_wait(stack: StackProcess) -> None:
    async with local_api(stack, drain_seconds=0.2, closing_seconds=10.0) as local:
        seconds = await stopped(local)

    assert 0.2 <= seconds < 5  # of the 10 that closing sockets would take


async def test_a_second_signal_ends_it_at_once(stack: StackProcess) -> None:
    async with local_api(stack, drain_seconds=10.0) as local, Api(local.url) as api:
        ann = await api.register()
        async with ann.socket():
            local.server.handle_exit(15, None)
            await until(lambda: local.services.health.draining, "draining")
            began = time.monotonic()
            local.server.handle_exit(15, None)
            await local.running
            seconds = time.monotonic() - began

    assert seconds < 5
    assert local.running.exception() is None


async def test_requests_under_way_are_answered(stack: StackProcess) -> None:
    async with local_api(stack) as local, Api(local.url) as api:
        ann = await api.register()
        conversation = await ann.talk()
        with stack.stopped("mongo"):
            sending = asyncio.create_task(ann.send(conversation["id"], "x"))
            await until(lambda: bool(local.server.server_state.tasks), "the request")
            local.stop()
            await until(lambda: local.services.health.draining, "draining")
        sent = await sending

        assert sent["message"]["body"] == "x"
        await local.running
        try:
            await api.http.get(f"{api.url}/health/live")
        except httpx.ConnectError:
            return
        raise AssertionError("it still listens")
