"""A receiver of alerts' webhooks: it believes nothing whose signature is not right."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
from aiohttp import web

from parley.stack.stack import free_port
from tests.clients import Json
from tests.push_receiver import webhook_content


class AlertReceiver:
    """Takes what is told, and answers as it is asked to."""

    def __init__(self, secret: str) -> None:
        self.port = free_port()
        self.requests: list[Json] = []
        self.faults: list[str] = []
        self.answers: list[int] = []  # to what comes next; then 204
        self._secret = secret
        self.verify: Callable[[web.Request, bytes], None] = self._verify

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/alerts"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["AlertReceiver"]:
        app = web.Application()
        app.router.add_post("/alerts", self._take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            self.verify(request, body)
            content: Json = orjson.loads(body)
        except (AssertionError, KeyError, ValueError) as error:
            self.faults.append(repr(error))
            return web.Response(status=400)
        self.requests.append(content)
        return web.Response(status=self.answers.pop(0) if self.answers else 204)

    def _verify(self, request: web.Request, body: bytes) -> None:
        webhook_content(request.headers, body, self._secret)
