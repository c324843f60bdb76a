"""The messenger at `/`: what one person does, another sees."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from playwright.async_api import Browser, expect

from tests.browser.window import NARROW, Window, held, opened, titled
from tests.clients import MARK_READ, Api, Person
from tests.stack_process import StackProcess


@dataclass(frozen=True, slots=True)
class Talk:
    """Ann and Bob, each at a window of their own, in one conversation."""

    ann: Person
    bob: Person
    id: str
    here: Window
    there: Window


@pytest.fixture
async def talk(browser: Browser, api: Api, parley_url: str) -> AsyncIterator[Talk]:
    ann, bob = await api.register(), await api.register()
    conversation = await titled(ann, "Engines", bob)
    async with opened(browser, parley_url) as here, opened(browser, parley_url) as there:
        for window, person in ((here, ann), (there, bob)):
            await window.sign_in(person)
        yield Talk(ann, bob, conversation, here, there)
        for window in (here, there):
            assert window.complaints == []
            assert window.hosts == {parley_url.removeprefix("http://")}


async def test_a_message_appears_at_once_and_its_ticks_go_from_sent_to_delivered_to_read(talk: Talk) -> None:
    await talk.here.open("Engines")
    await talk.here.say("Is anybody there?")

    mine = talk.here.message("Is anybody there?")
    await expect(mine.get_by_label("Delivered", exact=True)).to_be_visible()
    await expect(talk.there.row("Engines")).to_contain_text("1 unread")
    await expect(talk.there.page).to_have_title("(1) Parley")
    await talk.there.open("Engines")
    await expect(talk.there.message("Is anybody there?")).to_be_visible()
    await expect(mine.get_by_label("Read", exact=True)).to_be_visible()
    await expect(talk.there.row("Engines")).not_to_contain_text("unread")
    await expect(talk.there.page).to_have_title("Parley")


async def test_a_message_nobody_has_got_is_sent(browser: Browser, api: Api, parley_url: str) -> None:
    ann, away = await api.register(), await api.register()
    await titled(ann, "Silence", away)
    async with opened(browser, parley_url) as window:
        await window.sign_in(ann)
        await window.open("Silence")
        await window.say("Hello?")

        await expect(window.message("Hello?").get_by_label("Sent", exact=True)).to_be_visible()


async def test_an_answer_an_edit_a_reaction_and_a_deletion_show_in_both_windows(talk: Talk) -> None:
    for window in (talk.here, talk.there):
        await window.open("Engines")
    await talk.here.say("The first word")
    await talk.there.act("The first word", "Reply")
    await talk.there.say("And an answer")
    await expect(talk.here.message("And an answer").get_by_role("blockquote")).to_contain_text("The first word")

    await talk.there.act("And an answer", "React")
    await talk.there.page.get_by_role("button", name="Party").click()
    reaction = talk.here.message("And an answer").get_by_role("button", name="🎉 1")
    await expect(reaction).to_have_attribute("aria-pressed", "false")
    await reaction.click()
    for window in (talk.here, talk.there):
        shared = window.message("And an answer").get_by_role("button", name="🎉 2")
        await expect(shared).to_have_attribute("aria-pressed", "true")
    await expect(
        talk.there.message("And an answer").get_by_role("button", name=f"by you, {talk.ann.handle}")
    ).to_be_visible()

    await talk.there.act("And an answer", "Edit")
    new = talk.there.page.get_by_role("textbox", name="New wording")
    await expect(new).to_have_value("And an answer")
    await new.fill("And a better answer")
    await new.press("Enter")
    await expect(talk.here.message("And a better answer")).to_contain_text("edited")

    await talk.there.act("And a better answer", "Delete")
    await talk.there.page.get_by_role("button", name="Delete for everyone").click()
    for window in (talk.here, talk.there):
        await expect(window.messages).to_have_count(2)
        await expect(window.messages.last).to_contain_text("Message deleted")


async def test_older_messages_come_on_scrolling_up_and_what_is_being_read_stays_where_it_is(talk: Talk) -> None:
    for number in range(120):
        await talk.bob.send(talk.id, f"message {number:03}")
    await talk.here.open("Engines")
    await expect(talk.here.message("message 119")).to_be_in_viewport()
    assert len(await talk.here.texts()) < 120

    timeline = talk.here.page.locator(".timeline")
    moves = 0
    while await talk.here.message("message 000").count() == 0:
        # The foot of the one at the top stays where it is when those above it come: its head may change.
        before = await timeline.evaluate(
            """async (box) => {
                const count = box.querySelectorAll("article").length
                const top = box.querySelector("article")
                box.scrollTop = 0
                const place = top.getBoundingClientRect().bottom
                const deadline = performance.now() + 20000
                while (box.querySelectorAll("article").length === count && performance.now() < deadline)
                    await new Promise(requestAnimationFrame)
                return top.getBoundingClientRect().bottom - place
            }"""
        )
        assert abs(before) < 2
        moves += 1
        assert moves < 10
    await expect(talk.here.page.get_by_text("This is where the conversation begins.")).to_be_attached()

    assert await talk.here.texts() == [f"message {number:03}" for number in range(120)]


async def test_who_reads_far_up_is_not_moved_by_a_new_message_but_told_of_it(talk: Talk) -> None:
    for number in range(60):
        await talk.bob.send(talk.id, f"message {number:03}")
    await talk.here.open("Engines")
    await expect(talk.here.message("message 059")).to_be_in_viewport()
    await talk.here.page.locator(".timeline").evaluate("(box) => { box.scrollTop = 200 }")
    newest = talk.here.page.get_by_role("button", name="Newest")
    await newest.wait_for()
    top = await talk.here.page.locator(".timeline").evaluate("(box) => box.scrollHeight - box.scrollTop")

    await talk.bob.send(talk.id, "something new")
    await expect(talk.here.message("something new")).to_be_attached()
    await talk.here.page.get_by_role("button", name="1 new").click()
    await expect(talk.here.message("something new")).to_be_in_viewport()
    await expect(newest).to_be_hidden()

    assert top > 800  # it had been far from the end


async def test_a_reload_stays_signed_in_and_in_the_conversation_and_signing_out_ends_both(talk: Talk) -> None:
    await talk.here.open("Engines")
    await talk.here.say("Before the reload")
    await expect(talk.here.message("Before the reload")).to_be_visible()

    await talk.here.page.reload()
    await expect(talk.here.message("Before the reload")).to_be_visible()
    await talk.here.page.get_by_role("button", name="Sign out").click()
    await expect(talk.here.page.get_by_role("button", name="Sign in")).to_be_visible()
    await talk.here.page.reload()
    await expect(talk.here.page.get_by_role("button", name="Sign in")).to_be_visible()


async def test_what_is_written_without_a_connection_is_sent_once_and_in_order_when_it_is_back(talk: Talk) -> None:
    await talk.here.open("Engines")
    await talk.there.open("Engines")
    await talk.here.page.context.set_offline(True)
    await expect(talk.here.page.get_by_text("Reconnecting…")).to_be_visible()
    for text in ("one", "two", "three"):
        await talk.here.say(text)
    await talk.bob.send(talk.id, "from the other side")
    await expect(talk.here.page.get_by_label("Sending")).to_have_count(3)
    await talk.here.page.context.set_offline(False)

    await expect(talk.here.page.get_by_text("Reconnecting…")).to_be_hidden()
    for window in (talk.here, talk.there):
        await expect(window.messages).to_have_count(4)
        await expect(window.page.get_by_label("Sending")).to_have_count(0)
        assert await window.texts() == ["from the other side", "one", "two", "three"]
    # That the browser says how it failed is no complaint of the page.
    assert all("ERR_INTERNET_DISCONNECTED" in complaint for complaint in talk.here.complaints)
    talk.here.complaints.clear()


async def test_after_restarts_of_the_api_nothing_is_missing_or_doubled_and_the_banner_goes(
    browser: Browser, mortal: StackProcess
) -> None:
    async with Api(mortal.urls[0]) as api, opened(browser, mortal.urls[0]) as window:
        ann, bob = await api.register(), await api.register()
        conversation = await titled(ann, "Engines", bob)
        await window.sign_in(ann)
        await window.open("Engines")
        expected = []
        for end in ("frozen", "killed"):
            await bob.send(conversation, f"before it was {end}")
            await expect(window.message(f"before it was {end}")).to_be_visible()
            if end == "frozen":
                with mortal.stopped("api"):  # it answers no ping, so the page must find out by itself
                    await expect(window.page.get_by_text("Reconnecting…")).to_be_visible()
            killing = asyncio.create_task(asyncio.to_thread(mortal.kill_part, "api"))
            await window.say(f"while it was {end}")
            await killing
            await expect(window.page.get_by_text("Reconnecting…")).to_be_hidden()
            await expect(window.page.get_by_label("Sending")).to_have_count(0)
            await bob.send(conversation, f"after it was {end}")
            await expect(window.message(f"after it was {end}")).to_be_visible()
            expected += [f"{when} it was {end}" for when in ("before", "while", "after")]

        assert await window.texts() == expected


async def test_whoever_signs_up_finds_people_and_talks_to_them(browser: Browser, api: Api, parley_url: str) -> None:
    bob = await api.register()
    async with opened(browser, parley_url) as window:
        page = window.page
        await page.goto(parley_url)
        await page.get_by_role("button", name="Create an account").click()
        await page.get_by_label("Handle").fill(bob.handle)
        await page.get_by_label("Name").fill("Ada Lovelace")
        await page.get_by_label("Password").fill("correct horse battery")
        await page.get_by_role("button", name="Create account").click()
        await expect(page.get_by_role("alert").filter(has_text="handle")).to_be_visible()
        await expect(page.get_by_label("Handle")).to_have_attribute("aria-invalid", "true")
        await page.get_by_label("Handle").fill(f"v{bob.handle[1:]}")
        await page.get_by_role("button", name="Create account").click()
        await expect(page.get_by_text("No conversations yet.")).to_be_visible()

        await page.get_by_role("button", name="New conversation").click()
        await page.get_by_label("Find people by handle").fill(bob.handle[:12])
        await page.get_by_role("button", name=f"Choose {bob.handle}").click()
        await page.get_by_role("button", name="Start conversation").click()
        await expect(page.get_by_role("heading", name=bob.handle)).to_be_visible()
        await window.say("Hello Bob")
        await expect(window.message("Hello Bob").get_by_label("Sent", exact=True)).to_be_visible()
        assert window.complaints == []
    async with opened(browser, parley_url) as his:
        await his.sign_in(bob)
        await his.open("Ada Lovelace")
        await expect(his.message("Hello Bob")).to_be_visible()


async def test_a_conversation_that_somebody_begins_appears_in_the_list(talk: Talk) -> None:
    await expect(talk.there.row("Engines")).to_be_visible()
    new = await titled(talk.ann, "Gardens", talk.bob)
    await expect(talk.there.row("Gardens")).to_be_visible()
    await talk.ann.send(new, "A first seed")

    await expect(talk.there.row("Gardens")).to_contain_text("A first seed")
    await expect(talk.there.inbox.get_by_role("listitem").first).to_contain_text("Gardens")
    await talk.ann.send(talk.id, "Back to work")
    await expect(talk.there.inbox.get_by_role("listitem").first).to_contain_text("Engines")


async def test_what_another_device_has_read_is_unread_here_no_more(talk: Talk) -> None:
    sent = await talk.ann.send(talk.id, "Read me anywhere")
    await expect(talk.there.row("Engines")).to_contain_text("1 unread")
    await talk.bob.mutate(MARK_READ, conversationId=talk.id, upToSequence=sent["message"]["sequence"])

    await expect(talk.there.row("Engines")).not_to_contain_text("unread")


async def test_what_was_counted_before_another_device_read_is_counted_again(talk: Talk) -> None:
    row = talk.there.row("Engines")
    # The page asks as it has marked what came as delivered.
    async with held(talk.there.page, "query Summary") as summary:
        sent = await talk.ann.send(talk.id, "Read me anywhere")
        await summary.answered.wait()
        await expect(row).to_contain_text("1 unread")
        await talk.bob.mutate(MARK_READ, conversationId=talk.id, upToSequence=sent["message"]["sequence"])
        await expect(row).not_to_contain_text("unread")

        summary.let_on.set()
        await summary.asked_again.wait()

    await expect(row).not_to_contain_text("unread")


async def test_members_are_added_made_moderators_and_removed_and_can_leave(talk: Talk, api: Api) -> None:
    eve = await api.register()
    page = talk.here.page
    await talk.here.open("Engines")
    await talk.there.open("Engines")
    await page.get_by_role("button", name="Members", exact=True).click()
    panel = page.get_by_role("complementary", name="Members")
    await expect(panel.get_by_role("heading", name="2 members")).to_be_visible()

    await panel.get_by_role("button", name="Add people").click()
    await panel.get_by_label("Find people by handle").fill(eve.handle[:12])
    await panel.get_by_role("button", name=f"Add {eve.handle}").click()
    await expect(panel.get_by_role("heading", name="3 members")).to_be_visible()
    await panel.get_by_label(f"Role of {talk.bob.handle}").select_option("Moderator")
    await talk.there.page.get_by_role("button", name="Members", exact=True).click()
    his = talk.there.page.get_by_role("complementary", name="Members")
    await expect(his.get_by_role("listitem").filter(has_text="(you)")).to_contain_text("Moderator")
    await his.get_by_role("button", name=f"Remove {eve.handle}").click()
    await expect(panel.get_by_role("heading", name="2 members")).to_be_visible()

    await panel.get_by_role("button", name="Mute").click()
    await expect(panel.get_by_role("button", name="Unmute")).to_be_visible()
    await expect(talk.here.row("Engines")).to_contain_text("muted")
    await his.get_by_role("button", name="Leave").click()
    await his.get_by_role("button", name="Really leave").click()
    await expect(talk.there.row("Engines")).to_have_count(0)
    await expect(panel.get_by_role("heading", name="1 member")).to_be_visible()


async def test_on_a_phone_list_and_conversation_are_screens_of_their_own(
    browser: Browser, api: Api, parley_url: str
) -> None:
    ann, bob = await api.register(), await api.register()
    conversation = await titled(ann, "Engines", bob)
    await bob.send(conversation, "To a small screen " + "with very_long_words" * 12)
    async with opened(browser, parley_url, viewport=NARROW, has_touch=True) as window:
        await window.sign_in(ann)
        await window.open("Engines")
        await expect(window.messages).to_have_count(1)
        await expect(window.inbox).to_be_hidden()
        width = await window.page.evaluate("document.documentElement.scrollWidth")
        await window.page.get_by_role("button", name="Back to the list").click()
        await expect(window.inbox).to_be_visible()
        await expect(window.messages).to_have_count(0)
        await window.page.go_back()
        await expect(window.messages).to_have_count(1)

    assert width == NARROW["width"]  # nothing sticks out
