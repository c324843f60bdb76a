"""The messenger at `/`: who is there, who types, and what becomes of a session in the course of time."""

import asyncio
from pathlib import Path

from playwright.async_api import Browser, expect

from tests.api.test_sessions import ANOTHER, reset_link
from tests.browser.window import opened, titled
from tests.clients import CREATE, Api
from tests.stack_process import StackProcess, running_stack

SESSIONS = "{ viewer { sessions { id viewerIsCurrent } } }"
REVOKE = "mutation ($input: RevokeSessionInput!) { revokeSession(input: $input) { userErrors { code } } }"
TOKEN = "() => JSON.parse(sessionStorage.getItem('parley.session')).accessToken"


async def test_typing_shows_in_the_other_window_and_ends_with_the_message(
    browser: Browser, api: Api, parley_url: str
) -> None:
    ann, bob = await api.register(), await api.register()
    await titled(ann, "Engines", bob)
    async with opened(browser, parley_url) as here, opened(browser, parley_url) as there:
        for window, person in ((here, ann), (there, bob)):
            await window.sign_in(person)
            await window.open("Engines")
        await here.box.press_sequentially("Wait, I", delay=20)
        await expect(there.page.get_by_text(f"{ann.handle} is typing")).to_be_visible()
        await here.box.press("Enter")
        await expect(there.message("Wait, I")).to_be_visible()
        await expect(there.page.get_by_text("is typing")).to_be_hidden()

        assert here.complaints == there.complaints == []


async def test_who_comes_and_goes_is_seen_online_and_offline(browser: Browser, api: Api, parley_url: str) -> None:
    ann, bob = await api.register(), await api.register()
    await ann.mutate(CREATE, kind="DIRECT", memberIds=[bob.id])
    async with opened(browser, parley_url) as here:
        await here.sign_in(ann)
        row = here.row(bob.handle)
        async with opened(browser, parley_url) as there:
            await there.sign_in(bob)
            await expect(row).to_contain_text("(online)")
            await here.open(bob.handle)
            await expect(here.page.locator(".thread-head")).to_contain_text("online")
        await expect(row).to_contain_text("(offline)")  # after the grace of a lost connection
        await expect(here.page.locator(".thread-head")).to_contain_text("last seen")

        assert here.complaints == []


async def test_a_session_that_was_ended_elsewhere_leads_back_to_the_door(
    browser: Browser, api: Api, parley_url: str
) -> None:
    ann = await api.register()
    async with opened(browser, parley_url) as window:
        await window.sign_in(ann)
        await expect(window.page.get_by_text("No conversations yet.")).to_be_visible()
        sessions = (await ann.post(SESSIONS))["data"]["viewer"]["sessions"]
        (other,) = [session["id"] for session in sessions if not session["viewerIsCurrent"]]
        await ann.mutate(REVOKE, sessionId=other)

        await expect(window.page.get_by_text("You have been signed out.")).to_be_visible()
        await expect(window.page.get_by_role("button", name="Sign in")).to_be_visible()


async def test_a_reset_link_leads_to_a_new_password(
    browser: Browser, api: Api, parley_url: str, stack: StackProcess
) -> None:
    ann = await api.register()
    made = await asyncio.to_thread(reset_link, ann.handle, "--data", str(stack.directory))
    async with opened(browser, parley_url) as window:
        page = window.page
        await page.goto(made.stdout.splitlines()[0])
        await page.get_by_label("New password").fill("short")
        await page.get_by_role("button", name="Set password").click()
        await expect(page.get_by_role("alert").filter(has_text="characters")).to_be_visible()
        await expect(page.get_by_label("New password")).to_have_attribute("aria-invalid", "true")
        await page.get_by_label("New password").fill(ANOTHER)
        await page.get_by_role("button", name="Set password").click()
        await window.inbox.wait_for()

        assert page.url == f"{parley_url}/"  # the token stays in no history
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_label("Handle").fill(ann.handle)
        await page.get_by_label("Password").fill(ANOTHER)
        await page.get_by_role("button", name="Sign in").click()
        await window.inbox.wait_for()
        assert window.complaints == []


async def test_tokens_are_renewed_on_the_open_socket(browser: Browser, tmp_path: Path) -> None:
    settings = {"PARLEY_ACCESS_TOKEN_SECONDS": "5"}
    with running_stack(tmp_path / "parley", replicas=1, environment=settings) as stack:
        async with Api(stack.urls[0]) as api, opened(browser, stack.urls[0]) as window:
            ann = await api.register()
            room = await titled(ann, "Engines")
            await window.sign_in(ann)
            await window.open("Engines")
            tokens = {await window.page.evaluate(TOKEN)}
            while len(tokens) < 3:  # renewed twice: that is longer than the first one lives
                await window.page.wait_for_function(f"(old) => !old.includes(({TOKEN})())", arg=list(tokens))
                tokens.add(await window.page.evaluate(TOKEN))
            await window.say("Still here")
            await expect(window.message("Still here").get_by_label("Sent", exact=True)).to_be_visible()

        assert room
        assert [url for url in window.requests if url.startswith("ws")] == [
            f"{stack.urls[0]}/graphql".replace("http", "ws")
        ]
        assert window.complaints == []
