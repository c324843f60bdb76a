from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
from playwright.async_api import Browser, Page
from starlette.applications import Starlette
from starlette.routing import Route

from parley import pages

SEND_MESSAGE = """
mutation ($conversationId: ID!) {
  sendMessage(input: { conversationId: $conversationId, body: "Heard?", clientMessageId: "heard" }) {
    userErrors { message }
  }
}
"""


@dataclass(frozen=True, slots=True)
class Visit:
    """GraphiQL in a browser that was never here before."""

    url: str
    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    async def open(self) -> None:
        """Open the page and wait until it knows the schema."""
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda message: self.complaints.append(message.text) if message.type in {"error", "warning"} else None,
        )
        async with self.page.expect_response(lambda response: response.request.method == "POST"):
            await self.page.goto(f"{self.url}/graphql")
        for region in ("Operation Editor", "Variables", "Result Window"):
            await self.page.get_by_role("region", name=region).get_by_role("code").wait_for()

    async def choose(self, example: str) -> None:
        await self.page.get_by_role("tablist").get_by_role("button", name=example, exact=True).click()

    async def run(self) -> None:
        await self.page.get_by_role("button", name="Execute query").click()

    async def text(self, box: str, having: str) -> str:
        """Return what a box holds as soon as it holds this."""
        content = await self.page.wait_for_function(
            """([box, having]) => {
                const models = globalThis.__MONACO?.editor.getModels() ?? []
                const text = models.find((model) => model.uri.path.endsWith(box))?.getValue()
                return text?.includes(having) && text
            }""",
            arg=[box, having],
        )
        return str(await content.json_value())

    async def sign_up(self) -> str:
        """Run the first example and return the access token that came."""
        await self.choose("SignUp")
        await self.run()
        answer = orjson.loads(await self.text("response.json", '"accessToken"'))
        return str(answer["data"]["register"]["accessToken"])


@pytest.fixture
async def visit(browser: Browser, parley_url: str) -> AsyncIterator[Visit]:
    context = await browser.new_context()
    visit = Visit(parley_url, await context.new_page())
    await visit.open()
    yield visit
    await context.close()


async def test_the_page_asks_no_other_host_and_complains_of_nothing(visit: Visit) -> None:
    await visit.page.get_by_role("button", name="Show Documentation Explorer").click()
    await visit.page.get_by_role("link", name="Subscription", exact=True).wait_for()

    assert await visit.page.title() == "Parley · GraphiQL"
    assert {urlsplit(url).netloc for url in visit.requests if not url.startswith("data:")} == {
        urlsplit(visit.url).netloc
    }
    assert visit.complaints == []


async def test_signing_up_puts_the_token_into_the_headers_box_of_every_tab(visit: Visit) -> None:
    token = await visit.sign_up()

    headers = {"Authorization": f"Bearer {token}"}
    assert orjson.loads(await visit.text("request-headers.json", token)) == headers
    await visit.choose("Read")
    assert orjson.loads(await visit.text("request-headers.json", token)) == headers
    await visit.run()
    assert '"errors"' not in await visit.text("response.json", '"handle": "ada_')
    assert visit.complaints == []


async def test_a_subscription_takes_the_token_of_the_headers_box_and_shows_each_event(visit: Visit) -> None:
    token = await visit.sign_up()
    await visit.choose("CreateConversation")
    await visit.run()
    await visit.text("response.json", '"cnv_')
    await visit.choose("Listen")
    conversation = orjson.loads(await visit.text("variables.json", '"cnv_'))["conversationId"]
    await visit.run()
    await visit.text("response.json", '"CaughtUp"')
    async with httpx.AsyncClient(base_url=visit.url, headers={"Authorization": f"Bearer {token}"}) as client:
        sent = await client.post(
            "/graphql", json={"query": SEND_MESSAGE, "variables": {"conversationId": conversation}}
        )

    assert sent.json() == {"data": {"sendMessage": {"userErrors": []}}}
    shown = orjson.loads(await visit.text("response.json", '"Heard?"'))["newestFirst"]
    assert [event["data"]["conversationUpdates"]["__typename"] for event in shown[:2]] == ["MessageSent", "CaughtUp"]
    assert visit.complaints == []


async def test_pages_that_were_not_built_say_how_to_build_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGES", tmp_path)
    app = Starlette(routes=[Route("/graphql", pages.graphiql_page), *pages.pages()])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://parley") as client:
        page = await client.get("/graphql")

    assert page.status_code == 503
    assert "make web" in page.text
