"""The messenger in a browser window, as one person has it open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, Locator, Page, Route, expect

from tests.clients import PASSWORD, UPDATE, Person

PATIENCE_MS = 30_000
WIDE = {"width": 1280, "height": 800}
NARROW = {"width": 390, "height": 780}

expect.set_options(timeout=PATIENCE_MS)


@dataclass(frozen=True, slots=True)
class Window:
    """A page in a browser context of its own, with what it asked for and complained about."""

    url: str
    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def hosts(self) -> set[str]:
        return {urlsplit(url).netloc for url in self.requests}

    @property
    def box(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message", exact=True)

    @property
    def messages(self) -> Locator:
        return self.page.get_by_role("article")

    @property
    def inbox(self) -> Locator:
        return self.page.get_by_role("navigation", name="Conversations")

    def row(self, title: str) -> Locator:
        """Return a conversation's row in the list."""
        return self.inbox.get_by_role("listitem").filter(has_text=title).get_by_role("button")

    def message(self, text: str) -> Locator:
        return self.messages.filter(has_text=text)

    async def sign_in(self, person: Person) -> None:
        """Sign in and wait for the list."""
        await self.page.goto(self.url)
        await self.page.get_by_label("Handle").fill(person.handle)
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.inbox.wait_for()

    async def open(self, title: str) -> None:
        """Open a conversation and wait for its messages."""
        await self.row(title).click()
        await self.page.get_by_role("list", name="Messages, oldest first").wait_for(state="attached")

    async def say(self, text: str) -> None:
        await self.box.fill(text)
        await self.box.press("Enter")

    async def act(self, text: str, action: str) -> None:
        """Use one of the actions of a message."""
        message = self.message(text)
        await message.focus()  # on a phone what can be done shows after a tap
        await message.get_by_role("button", name=action, exact=True).click()

    async def texts(self) -> list[str]:
        """Return the bodies of all messages here, in their order."""
        return await self.messages.locator(".message-body").all_inner_texts()


@asynccontextmanager
async def opened(browser: Browser, url: str, **options: Any) -> AsyncIterator[Window]:
    """Open a window that was never here before; no page error and no refused resource goes unnoticed."""
    context = await browser.new_context(**{"viewport": WIDE, **options})
    context.set_default_timeout(PATIENCE_MS)
    window = Window(url, await context.new_page())
    window.page.on("request", lambda request: window.requests.append(request.url))
    window.page.on("websocket", lambda socket: window.requests.append(socket.url))
    window.page.on("pageerror", lambda error: window.complaints.append(str(error)))
    window.page.on(
        "console",
        lambda message: window.complaints.append(message.text) if message.type in {"error", "warning"} else None,
    )
    try:
        yield window
    finally:
        await context.close()


async def titled(owner: Person, title: str, *others: Person) -> str:
    """Make a conversation with a title; return its id."""
    conversation: str = (await owner.talk(*others))["id"]
    await owner.mutate(UPDATE, conversationId=conversation, title=title)
    return conversation


@dataclass(frozen=True, slots=True)
class Held:
    """An operation whose first answer comes late."""

    answered: asyncio.Event = field(default_factory=asyncio.Event)
    let_on: asyncio.Event = field(default_factory=asyncio.Event)
    asked_again: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def held(page: Page, operation: str) -> AsyncIterator[Held]:
    """Hold the first answer to an operation until it is let on."""
    held = Held()

    async def handle(route: Route) -> None:
        if operation not in (route.request.post_data or ""):
            await route.continue_()
        elif not held.answered.is_set():
            answer = await route.fetch()
            held.answered.set()
            await held.let_on.wait()
            await route.fulfill(response=answer)
        else:
            held.asked_again.set()
            await route.continue_()

    await page.route("**/graphql", handle)
    try:
        async with asyncio.timeout(2 * PATIENCE_MS / 1_000):
            yield held
    finally:
        held.let_on.set()
        await page.unroute_all(behavior="wait")
