"""The messenger at `/`: what makes it comfortable to read and to write in."""

from playwright.async_api import Browser, expect

from tests.browser.window import opened, titled
from tests.clients import SET_ROLE, UPDATE, Api

SEND_MORE = (
    """mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { id } userErrors { code } } }"""
)


async def test_a_quotation_leads_to_its_message_also_where_that_must_be_read_first(
    browser: Browser, api: Api, parley_url: str
) -> None:
    ann, bob = await api.register(), await api.register()
    conversation = await titled(ann, "Engines", bob)
    first = await bob.send(conversation, "The very first")
    for number in range(60):
        await bob.send(conversation, f"message {number:02}")
    await bob.mutate(
        SEND_MORE,
        conversationId=conversation,
        body="As I said",
        clientMessageId="reply",
        replyToId=first["message"]["id"],
    )
    async with opened(browser, parley_url) as window:
        await window.sign_in(ann)
        await window.open("Engines")
        original = window.messages.filter(has=window.page.get_by_text("The very first", exact=True)).first
        await window.message("As I said").get_by_role("blockquote").get_by_role("button").click()

        await expect(original).to_be_in_viewport()
        await expect(original).to_be_focused()
        assert window.complaints == []


async def test_addresses_and_attachments_of_a_message_are_links_and_nothing_else_is(
    browser: Browser, api: Api, parley_url: str
) -> None:
    ann = await api.register()
    conversation = await titled(ann, "Engines")
    await ann.send(conversation, "See (https://example.org/a?b=c#d), javascript:alert(1) and <b>http://e.org/x</b>.")
    file = {
        "name": "plan.pdf",
        "url": "https://files.example/1",
        "mediaType": "application/pdf",
        "sizeBytes": 1_500_000,
    }
    await ann.mutate(SEND_MORE, conversationId=conversation, body="🎉🏔️", clientMessageId="file", attachments=[file])
    async with opened(browser, parley_url) as window:
        await window.sign_in(ann)
        await window.open("Engines")
        links = window.message("See").locator(".message-body a")
        found = [[await link.get_attribute(name) for name in ("href", "target", "rel")] for link in await links.all()]

        assert found == [
            [address, "_blank", "noopener noreferrer"] for address in ("https://example.org/a?b=c#d", "http://e.org/x")
        ]
        await expect(window.message("See").locator("b")).to_have_count(0)
        await expect(window.message("🎉").locator(".large")).to_have_text("🎉🏔️")
        attachment = window.message("🎉").get_by_role("list", name="Attachments").get_by_role("link")
        await expect(attachment).to_have_text("plan.pdf1.5 MB")
        await expect(attachment).to_have_attribute("href", "https://files.example/1")
        assert window.complaints == []


async def test_what_was_begun_in_one_conversation_is_there_on_coming_back_to_it(
    browser: Browser, api: Api, parley_url: str
) -> None:
    ann = await api.register()
    await titled(ann, "Engines")
    await titled(ann, "Gardens")
    async with opened(browser, parley_url) as window:
        await window.sign_in(ann)
        await window.open("Engines")
        await window.box.fill("A thought that is not finished")
        await window.open("Gardens")
        await expect(window.box).to_have_value("")
        await expect(window.row("Engines")).to_contain_text("Draft: A thought")

        await window.open("Engines")
        await expect(window.box).to_have_value("A thought that is not finished")
        await expect(window.row("Engines")).not_to_contain_text("Draft")
        await window.box.press("Enter")
        await expect(window.message("A thought").get_by_label("Sent", exact=True)).to_be_visible()
        await window.open("Gardens")
        await expect(window.row("Engines")).to_contain_text("A thought")
        await expect(window.row("Engines")).not_to_contain_text("Draft")
        assert window.complaints == []


async def test_whoever_may_write_in_a_channel_now_gets_a_box_at_once(
    browser: Browser, api: Api, parley_url: str
) -> None:
    ann, bob = await api.register(), await api.register()
    channel = (await ann.talk(bob, kind="CHANNEL"))["id"]
    await ann.mutate(UPDATE, conversationId=channel, title="News")
    async with opened(browser, parley_url) as window:
        await window.sign_in(bob)
        await window.open("News")
        await expect(window.page.get_by_text("Only owners and moderators write in a channel.")).to_be_visible()
        await ann.mutate(SET_ROLE, conversationId=channel, userId=bob.id, role="MODERATOR")
        await window.say("Good news")

        await expect(window.message("Good news").get_by_label("Sent", exact=True)).to_be_visible()
        await ann.mutate(UPDATE, conversationId=channel, archived=True)
        await expect(window.page.get_by_text("This conversation is archived.")).to_be_visible()
        assert window.complaints == []
