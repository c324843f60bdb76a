"""The messenger for everybody: rules of accessibility in each state, and all of it by keyboard."""

import pytest
from playwright.async_api import Browser, expect

from tests.browser.access import violations
from tests.browser.window import NARROW, WIDE, opened, titled
from tests.clients import PASSWORD, Api


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_no_state_breaks_a_rule_of_accessibility(
    browser: Browser, api: Api, parley_url: str, viewport: dict[str, int]
) -> None:
    ann, bob, eve = [await api.register() for _ in range(3)]
    conversation = await titled(ann, "Engines", bob, eve)
    for person, text in ((bob, "First"), (ann, "Second"), (eve, "Third, see https://example.org/ 🎉")):
        await person.send(conversation, text)
    await ann.talk(bob, kind="DIRECT")
    # The policy of the page lets no foreign script in, and axe is one.
    async with opened(browser, parley_url, viewport=viewport, bypass_csp=True) as window:
        page, found = window.page, {}
        await page.goto(f"{parley_url}/reset?token=none")
        await page.get_by_label("New password").wait_for()
        found["reset"] = await violations(page)
        await page.goto(parley_url)
        await page.get_by_role("button", name="Create an account").click()
        await page.get_by_label("Handle").fill(bob.handle)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Create account").click()
        await page.get_by_role("alert").filter(has_text="handle").wait_for()
        found["refused"] = await violations(page)
        await window.sign_in(ann)
        await window.row("Engines").wait_for()
        found["list"] = await violations(page)
        await page.get_by_role("button", name="New conversation").click()
        await page.get_by_label("Find people by handle").fill(bob.handle[:12])
        await page.get_by_role("button", name=f"Choose {bob.handle}").click()
        found["new conversation"] = await violations(page)
        await page.keyboard.press("Escape")
        await window.row(bob.handle).filter(has_not_text="Engines").click()
        await page.get_by_text("No messages yet. Say hello!").wait_for()
        found["nothing said"] = await violations(page)
        if viewport == NARROW:
            await page.get_by_role("button", name="Back to the list").click()
        await window.open("Engines")
        await window.act("Third", "React")
        found["reactions"] = await violations(page)
        await page.get_by_role("button", name="Thumbs up").click()
        await window.message("Third").get_by_role("button", name="👍 1").wait_for()
        await window.act("First", "Reply")
        await window.say("Fourth")
        await window.message("Fourth").get_by_label("Sent", exact=True).wait_for()
        await window.act("Second", "Edit")
        await window.act("Fourth", "Delete")
        found["conversation"] = await violations(page)
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Cancel edit").click()
        await page.get_by_role("button", name="Members", exact=True).click()
        await page.get_by_role("complementary", name="Members").wait_for()
        found["members"] = await violations(page)
        await page.get_by_role("button", name="Close members").click()
        await page.context.set_offline(True)
        await page.get_by_text("Reconnecting…").wait_for()
        await window.say("Later")
        await page.get_by_label("Sending").wait_for()
        found["offline"] = await violations(page)

    assert {state: violations for state, violations in found.items() if violations} == {}
    assert [complaint for complaint in window.complaints if "ERR_INTERNET_DISCONNECTED" not in complaint] == []


async def test_everything_can_be_done_by_keyboard(browser: Browser, api: Api, parley_url: str) -> None:
    ann, bob = await api.register(), await api.register()
    conversation = await titled(ann, "Engines", bob)
    await bob.send(conversation, "By hand?")
    async with opened(browser, parley_url) as window:
        page, keyboard = window.page, window.page.keyboard

        async def tab_to(name: str, *, back: bool = False) -> None:
            for _ in range(30):
                focused = page.locator(":focus")
                if await focused.count() and name in await focused.evaluate(
                    "(e) => e.labels?.[0]?.textContent ?? e.getAttribute('aria-label') ?? e.textContent"
                ):
                    return
                await keyboard.press("Shift+Tab" if back else "Tab")
            raise AssertionError(f"the Tab key does not lead to {name}")

        await page.goto(parley_url)
        await page.get_by_label("Handle").wait_for()
        await tab_to("Handle")
        await keyboard.type(ann.handle)
        await tab_to("Password")
        await keyboard.type(PASSWORD)
        await keyboard.press("Enter")
        await window.row("Engines").wait_for()
        await tab_to("Engines")
        await keyboard.press("Enter")
        await expect(window.box).to_be_focused()
        await keyboard.type("With")
        await keyboard.press("Shift+Enter")
        await keyboard.type("keys")
        await keyboard.press("Enter")
        await expect(window.message("With")).to_contain_text("With\nkeys", use_inner_text=True)
        await expect(window.message("With").get_by_label("Sent", exact=True)).to_be_visible()

        await keyboard.press("ArrowUp")  # in an empty box: another wording for the last message
        new = page.get_by_role("textbox", name="New wording")
        await expect(new).to_have_value("With\nkeys")
        await keyboard.press("Escape")
        await expect(window.box).to_have_value("")
        await keyboard.press("ArrowUp")
        await new.fill("With fewer keys")
        await keyboard.press("Enter")
        await expect(window.message("With fewer keys")).to_contain_text("edited")

        await tab_to("With fewer keys", back=True)
        await keyboard.press("ArrowUp")
        await expect(window.message("By hand?")).to_be_focused()
        await tab_to("React")
        await keyboard.press("Enter")
        await expect(page.get_by_role("button", name="Thumbs up")).to_be_focused()
        await keyboard.press("Enter")
        await expect(window.message("By hand?").get_by_role("button", name="👍 1")).to_be_visible()
        await window.message("By hand?").focus()
        await tab_to("Reply")
        await keyboard.press("Enter")
        await keyboard.type("By hand!")
        await keyboard.press("Enter")
        await expect(window.message("By hand!").get_by_role("blockquote")).to_contain_text("By hand?")
        await tab_to("Members", back=True)
        await keyboard.press("Enter")
        await page.get_by_role("complementary", name="Members").wait_for()
        await tab_to("Close members")
        await keyboard.press("Enter")
        await expect(page.get_by_role("complementary", name="Members")).to_be_hidden()

    assert window.complaints == []
