"""The operators' page at `/ops`: what it shows is what was done, and everybody who may can read it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.access import violations
from tests.browser.window import NARROW, WIDE, Window, opened
from tests.clients import PASSWORD, Api, Person
from tests.stack_process import StackProcess, running_stack

OPERATOR = "desk.operator"
SETTINGS = {
    "PARLEY_OPERATORS": OPERATOR,
    "PARLEY_ALERT_SECONDS": "0.5",
    "PARLEY_ALERT_RULES": "KafkaDown=0/1, LoopLate=off, AnswersSlow=off, DeliveriesSlow=off",
}
MESSAGES, FOLLOWERS = 24, 3
DRAWN = """(canvas) => new Set(new Uint32Array(
    canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size > 8"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A Parley that nobody else uses."""
    directory = tmp_path_factory.mktemp("watched")
    with running_stack(directory, replicas=1, environment=SETTINGS) as stack:
        yield stack


@pytest.fixture
async def home(watched: StackProcess) -> AsyncIterator[Api]:
    async with Api(watched.urls[0]) as api:
        await api.post(
            "mutation ($input: RegisterInput!) { register(input: $input) { user { id } } }",
            {"input": {"handle": OPERATOR, "password": PASSWORD}},
        )  # the first test does; then there is one
        yield api


async def sign_in(page: Page, handle: str) -> None:
    await page.get_by_label("Handle").fill(handle)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()


@asynccontextmanager
async def desk(browser: Browser, api: Api, **options: object) -> AsyncIterator[Window]:
    """Open the page, signed in as the operator."""
    async with opened(browser, f"{api.url}/ops", **options) as window:
        await window.page.goto(window.url)
        await sign_in(window.page, OPERATOR)
        await window.page.get_by_role("heading", name="Figures").wait_for()
        yield window


def chart(page: Page, title: str) -> Locator:
    return page.get_by_role("figure", name=title)


async def talk(api: Api, stack: AsyncExitStack) -> Person:
    """Send messages to followers, who get all of them and stay; return the sender."""
    ann, bob = await api.register(), await api.register()
    conversation = (await ann.talk(bob))["id"]
    followers = []
    for _ in range(FOLLOWERS):
        socket = await stack.enter_async_context(bob.socket())
        followers.append(await socket.updates(conversation))
        await followers[-1].until_caught_up()
    for number in range(MESSAGES):
        await ann.send(conversation, f"{number}")
    for follower in followers:
        for _ in range(MESSAGES):
            await follower.update()
    return ann


async def test_charts_and_tables_show_a_known_load_as_it_comes(browser: Browser, home: Api) -> None:
    async with desk(browser, home) as window, AsyncExitStack() as stack:
        page = window.page
        await expect(
            page.get_by_role("region", name="Table: operations").get_by_role("row", name="login")
        ).to_be_visible()
        ann = await talk(home, stack)
        for _ in range(5):
            await ann.post("{ viewer { nothing } }")

        sent = page.get_by_role("row", name=f"sendMessage mutation {MESSAGES} 0")
        await expect(sent).to_be_visible()
        await expect(chart(page, "Connections")).to_contain_text(f"Sockets {FOLLOWERS + 1}")
        await expect(chart(page, "Connections")).to_contain_text(f"Subscriptions {FOLLOWERS + 2}")
        await expect(page.get_by_role("row", name="GRAPHQL_VALIDATION_FAILED 5")).to_be_visible()
        await chart(page, "Messages and deliveries").get_by_text("As a table").click()
        newest = chart(page, "Messages and deliveries").get_by_role("row").nth(1)
        # Each follower gets each message: whatever the window is, the one is a multiple of the other.
        await expect(newest).to_contain_text("/s")
        deliveries, messages = [
            float(text.removesuffix(" /s")) for text in await newest.get_by_role("cell").all_inner_texts()
        ]
        assert 0.9 < deliveries / (messages * FOLLOWERS) < 1.1
        for canvas in await page.locator(".plot canvas").all():
            assert await canvas.evaluate(DRAWN)
        assert window.complaints == []
        assert window.hosts == {home.url.removeprefix("http://")}


async def test_health_names_each_part_and_the_instance_that_answered(browser: Browser, home: Api) -> None:
    instance = (await home.post("{ health { instance version } }"))["data"]["health"]
    async with desk(browser, home) as window:
        components = window.page.get_by_role("region", name="Table: components")
        for part in ("MongoDB", "Redis", "Kafka"):
            await expect(components.get_by_role("row", name=f"{part} Healthy")).to_be_visible()
        row = f"{instance['instance']} {instance['version']}"
        await expect(
            window.page.get_by_role("region", name="Table: instances").get_by_role("row", name=row)
        ).to_be_visible()


async def test_a_part_that_stands_still_and_figures_that_stop_are_said(
    browser: Browser, home: Api, watched: StackProcess
) -> None:
    async with desk(browser, home) as window:
        components = window.page.get_by_role("region", name="Table: components")
        with watched.stopped("redis"):
            await expect(components.get_by_role("row", name="Redis Degraded does not answer")).to_be_visible()
            await expect(window.page.get_by_text("No new figures come.")).to_be_visible()
        await expect(components.get_by_role("row", name="Redis Healthy")).to_be_visible()
        await expect(window.page.get_by_text("No new figures come.")).to_be_hidden()


async def test_an_alert_comes_when_a_part_stands_still_and_goes_when_it_is_back(
    browser: Browser, home: Api, watched: StackProcess
) -> None:
    async with desk(browser, home) as window:
        page = window.page
        await expect(page.get_by_text("Nothing fires.")).to_be_visible()
        with watched.stopped("kafka"):
            alert = page.get_by_role("list", name="Firing").get_by_role("listitem").filter(has_text="KafkaDown")
            await expect(alert).to_contain_text("Warning")
            await expect(page.get_by_text("1 firing")).to_be_visible()
        await expect(page.get_by_text("Nothing fires.")).to_be_visible()
        await page.get_by_text("Resolved (").click()
        await expect(page.get_by_role("list", name="Resolved")).to_contain_text("KafkaDown")
        await page.reload()
        await page.get_by_text("Resolved (").click()
        await expect(page.get_by_role("list", name="Resolved")).to_contain_text("KafkaDown")
        assert window.complaints == []


async def test_the_past_is_chosen_by_keyboard_and_read_in_points(browser: Browser, home: Api) -> None:
    async with desk(browser, home) as window:
        page = window.page
        await page.get_by_role("radio", name="Live").focus()
        await page.keyboard.press("ArrowRight")
        await expect(page.get_by_role("radio", name="Last hour")).to_be_checked()
        # A minute is written when it is over, and the page reads each minute again.
        await expect(page.get_by_text("Each point is a minute.")).to_be_visible(timeout=150_000)
        requests = chart(page, "Requests")
        await requests.get_by_text("As a table").focus()
        await page.keyboard.press("Enter")
        await expect(requests.get_by_role("row").nth(1)).to_contain_text("/s")
        assert await requests.locator("canvas").evaluate(DRAWN)
        assert window.complaints == []


async def test_somebody_else_is_told_that_this_is_for_operators(browser: Browser, home: Api) -> None:
    ann = await home.register()
    async with opened(browser, f"{home.url}/ops") as window:
        page = window.page
        await page.goto(window.url)
        await sign_in(page, ann.handle)
        await expect(page.get_by_role("alert")).to_contain_text(f"@{ann.handle} is not an operator.")
        await page.get_by_role("button", name="Sign in with another account").click()
        await sign_in(page, OPERATOR)
        await expect(page.get_by_role("heading", name="Figures")).to_be_visible()
        await page.reload()
        await expect(page.get_by_role("heading", name="Figures")).to_be_visible()
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        assert window.complaints == []


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_no_state_breaks_a_rule_of_accessibility(browser: Browser, home: Api, viewport: dict[str, int]) -> None:
    ann = await home.register()
    async with opened(browser, f"{home.url}/ops", viewport=viewport, bypass_csp=True) as window:
        page, found = window.page, {}
        await page.goto(window.url)
        await page.get_by_label("Handle").wait_for()
        found["door"] = await violations(page)
        await sign_in(page, ann.handle)
        await page.get_by_role("alert").filter(has_text="not an operator").wait_for()
        found["refused"] = await violations(page)
        await page.get_by_role("button", name="Sign in with another account").click()
        await sign_in(page, OPERATOR)
        await page.get_by_role("row", name="MongoDB Healthy").wait_for()
        await page.get_by_role("region", name="Table: operations").get_by_role("row").nth(1).wait_for()
        for each in await page.get_by_text("As a table").all():
            await each.click()
        found["desk"] = await violations(page)
        await page.get_by_role("radio", name="Last 7 days").check()
        await page.get_by_role("figure", name="Answers that failed").wait_for()
        found["past"] = await violations(page)
        width = await page.evaluate("document.documentElement.scrollWidth")

    assert {state: problems for state, problems in found.items() if problems} == {}
    assert width <= viewport["width"]
