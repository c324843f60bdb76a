"""Those who should see nothing try everything, on every transport: nothing of it reaches them, and nothing changes."""

import asyncio
import re
import uuid
from dataclasses import dataclass
from typing import Any, Final

import orjson
import pytest
from graphql import GraphQLInterfaceType

from schema.api import graphql_schema
from tests.clients import ADD, BLOCK, CREATE, INBOX, PROFILE, REMOVE, SEND, UPDATES, Api, Json, Person
from tests.local_api import local_api
from tests.raw_socket import RawSocket
from tests.stack_process import StackProcess

_MESSAGE: Final = """id body clientMessageId sender { id } replyTo { body } attachments { name url } mentions { id }
  reactions { emoji users { id } } receipts(first: 5) { nodes { user { id } } } viewerCanEdit viewerCanDelete"""
_CONVERSATION: Final = f"""id title cursor memberCount lastSequence lastMessage {{ {_MESSAGE} }}
  members(first: 5) {{ nodes {{ role user {{ handle }} }} }} messages(first: 5) {{ nodes {{ {_MESSAGE} }} }}
  pinnedMessages {{ body }} typing {{ id }} viewerUnreadCount"""
_NODE: Final = f"""__typename ... on Conversation {{ {_CONVERSATION} }} ... on Message {{ {_MESSAGE} }}
  ... on Session {{ device createdAt expiresAt }}"""
READS: Final = (
    f"query ($c: ID!) {{ conversation(id: $c) {{ {_CONVERSATION} }} }}",
    f"query ($c: ID!) {{ node(id: $c) {{ {_NODE} }} }}",
    f"query ($m: ID!) {{ node(id: $m) {{ {_NODE} }} }}",
    f"query ($s: ID!) {{ node(id: $s) {{ {_NODE} }} }}",
    f"query ($all: [ID!]!) {{ nodes(ids: $all) {{ {_NODE} }} }}",
    f"{{ viewer {{ conversations(first: 5) {{ nodes {{ {_CONVERSATION} }} }} sessions {{ id device }} }} }}",
)


def _change(name: str, fields: str, shown: str) -> str:
    variables = ", ".join(f"{variable}: ID!" for variable in sorted(set(re.findall(r"\$\w+", fields))))
    return (
        f"mutation ({variables}) {{ {name}(input: {{ {fields} }}) {{ {shown} userErrors {{ code message path }} }} }}"
    )


_OF_MESSAGE: Final = f"message {{ {_MESSAGE} }}"
_OF_CONVERSATION: Final = f"conversation {{ {_CONVERSATION} }}"
WRITES: Final = (
    _change("sendMessage", 'conversationId: $c, body: "eve", clientMessageId: "eve"', _OF_MESSAGE),
    _change("sendMessage", 'conversationId: $own, body: "eve", clientMessageId: "eve", replyToId: $m', _OF_MESSAGE),
    _change("editMessage", 'messageId: $m, body: "eve"', _OF_MESSAGE),
    _change("deleteMessage", "messageId: $m", _OF_MESSAGE),
    _change("addReaction", 'messageId: $m, emoji: "👍"', _OF_MESSAGE),
    _change("removeReaction", 'messageId: $m, emoji: "👍"', _OF_MESSAGE),
    _change("pinMessage", "messageId: $m", _OF_MESSAGE),
    _change("unpinMessage", "messageId: $m", _OF_MESSAGE),
    _change("reportMessage", 'messageId: $m, reason: "eve"', "messageId"),
    _change("markRead", "conversationId: $c, upToSequence: 2", "member { readSequence user { handle } }"),
    _change("markDelivered", "conversationId: $c, upToSequence: 2", "member { readSequence user { handle } }"),
    _change("setTyping", "conversationId: $c, typing: true", "expiresAt"),
    _change("addMembers", "conversationId: $c, userIds: [$me]", _OF_CONVERSATION),
    _change("removeMember", "conversationId: $c, userId: $ann", _OF_CONVERSATION),
    _change("setMemberRole", "conversationId: $c, userId: $me, role: OWNER", _OF_CONVERSATION),
    _change("updateConversation", 'conversationId: $c, title: "eve", archived: true', _OF_CONVERSATION),
    _change("leaveConversation", "conversationId: $c", _OF_CONVERSATION),
    _change("muteConversation", "conversationId: $c, until: null", _OF_CONVERSATION),
    _change("revokeSession", "sessionId: $s", "sessionId"),
)
SUBSCRIPTIONS: Final = (
    (UPDATES, {"id": "c", "after": None}),
    (UPDATES, {"id": "c", "after": "cursor"}),
    (INBOX, {"after": "cursors"}),
    ("subscription ($c: ID!) { typing(conversationId: $c) { users { id handle } } }", {"c": "c"}),
)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is Ann's and Bob's alone; everything in it that somebody wrote has the mark."""

    mark: str
    ann: Person
    conversation: Json
    message: Json
    session_id: str
    cursor: str

    def given(self, who: Person, own: str) -> Json:
        """Return what an attacker has found out: ids of everything, and a cursor."""
        ids = {"c": self.conversation["id"], "m": self.message["id"], "s": self.session_id, "ann": self.ann.id}
        further = {"me": who.id, "own": own, "all": [ids["c"], ids["m"], ids["s"]]}
        return {**ids, **further, "cursor": self.cursor, "cursors": [self.cursor]}

    async def state(self) -> Json:
        """Return all that the owner sees, but what reading itself changes."""
        return await self.ann.post(READS[0], {"c": self.conversation["id"]})


async def secrets_of(api: Api, *members: Person) -> Secrets:
    mark = f"mark{uuid.uuid4().hex[:12]}"
    ann, bob = await api.register(f"{mark}.ann"), await api.register(f"{mark}.bob")
    made = await ann.mutate(CREATE, kind="GROUP", title=mark, memberIds=[bob.id, *(member.id for member in members)])
    conversation = made["conversation"]
    sent = await ann.mutate(
        SEND,
        conversationId=conversation["id"],
        body=f"{mark} @{bob.handle}",
        clientMessageId=mark,
        attachments=[{"name": mark, "url": f"https://{mark}.example", "mediaType": "image/png", "sizeBytes": 1}],
    )
    sessions = await ann.post("{ viewer { sessions { id } } }")
    (session,) = sessions["data"]["viewer"]["sessions"]
    return Secrets(mark, ann, conversation, sent["message"], session["id"], conversation["cursor"])


def known(document: str, given: Json) -> Json:
    """Return those of these variables that a document has."""
    return {name: value for name, value in given.items() if f"${name}:" in document}


async def attack(who: Person, given: Json, *, token: str | None = "") -> list[bytes]:
    """Try everything over HTTP and over a socket; return all that came back."""
    api, answers = who.api, list[bytes]()
    headers = {} if token is None else {"authorization": f"Bearer {token or who.token}"}
    for document in (*READS, *WRITES):
        content = {"query": document, "variables": known(document, given)}
        answers.append((await api.http.post(f"{api.url}/graphql", json=content, headers=headers)).content)
    for document in READS:
        asked = {"query": document, "variables": orjson.dumps(known(document, given)).decode()}
        answers.append((await api.http.get(f"{api.url}/graphql", params=asked, headers=headers)).content)
    return answers + await attack_over_socket(who, given, token=token)


async def attack_over_socket(who: Person, given: Json, *, token: str | None = "") -> list[bytes]:
    """Try everything over a socket, also to follow; return all that came back until it was closed or all was tried."""
    answers: list[bytes] = []
    async with RawSocket.open(who.api) as socket:
        payload = None if token is None else {"Authorization": f"Bearer {token or who.token}"}
        socket.tell({"type": "connection_init", "payload": payload})
        documents: list[tuple[str, Json]] = [(document, known(document, given)) for document in (*READS, *WRITES)]
        documents += [
            (document, {name: None if key is None else given[key] for name, key in names.items()})
            for document, names in SUBSCRIPTIONS
        ]
        opcode, data = await socket.frame()
        answers.append(data)
        if opcode != 1:
            assert int.from_bytes(data[:2]) == 4403
            return answers
        for number, (document, variables) in enumerate(documents):
            socket.tell(
                {"id": str(number), "type": "subscribe", "payload": {"query": document, "variables": variables}}
            )
        socket.tell({"type": "ping", "payload": {"last": True}})
        waiting = {str(number) for number in range(len(documents))}
        # Whoever follows an inbox is told of its own conversations only, and goes on following.
        following = {str(number) for number, (document, _) in enumerate(documents) if document == INBOX}
        while waiting - following:
            data = (await socket.frame())[1]
            answers.append(data)
            message = orjson.loads(data)
            if message["type"] in {"complete", "error"}:
                waiting.discard(message["id"])
    return answers


def refused(answers: list[bytes], mark: str) -> None:
    """See that nothing of what is Ann's came back, and nothing of the inside."""
    assert answers
    for answer in answers:
        assert mark.encode() not in answer, answer
        for code in (b"INTERNAL", b"Traceback"):
            assert code not in answer, answer


async def test_a_stranger_who_has_guessed_every_id_gets_nothing_and_changes_nothing(api: Api, other_api: Api) -> None:
    secrets, eve = await secrets_of(api), await other_api.register()
    own = (await eve.talk())["id"]
    before = await secrets.state()

    answers = await attack(eve, secrets.given(eve, own))

    refused(answers, secrets.mark)
    assert await secrets.state() == before
    assert (await secrets.ann.post("{ viewer { roles } }"))["data"]["viewer"]["roles"] == ["USER"]


async def test_what_is_hidden_looks_like_what_is_missing(api: Api) -> None:
    secrets, eve = await secrets_of(api), await api.register()
    own = (await eve.talk())["id"]
    given = secrets.given(eve, own)
    missing = {**given, "c": "cnv_" + 26 * "0", "m": await gone(eve)}

    for document in WRITES:
        if "$m" in document or "$c" in document:
            answers = [await eve.post(document, known(document, ids)) for ids in (given, missing)]
            assert answers[0] == answers[1], document


async def gone(who: Person) -> str:
    """Return the id of a message that is nowhere, in a conversation that is the person's own."""
    own = await who.talk()
    sent: str = (await who.send(own["id"], "the only one"))["message"]["id"]
    return sent[:-1] + ("0" if sent[-1] != "0" else "1")


async def test_a_removed_member_gets_nothing_of_before_or_after(api: Api, other_api: Api) -> None:
    eve = await other_api.register()
    secrets = await secrets_of(api, eve)
    own = (await eve.talk())["id"]
    assert secrets.mark.encode() in orjson.dumps(await eve.post(READS[0], {"c": secrets.conversation["id"]}))
    async with eve.socket() as socket:
        live, inbox = await socket.updates(secrets.conversation["id"]), await socket.start(INBOX)
        await live.until_caught_up()
        await inbox.until_caught_up()
        await secrets.ann.mutate(REMOVE, conversationId=secrets.conversation["id"], userId=eve.id)
        await secrets.ann.send(secrets.conversation["id"], f"{secrets.mark} after")
        last = await live.update()
        end = await live.message()
        before = await secrets.state()

        answers = await attack(eve, secrets.given(eve, own))
        await eve.send(own, "still in the inbox")
        heard = [await inbox.update()]
        while heard[-1]["__typename"] != "MessageSent":
            heard.append(await inbox.update())

    assert (last["__typename"], end["type"]) == ("MemberRemoved", "complete")
    refused([*answers, orjson.dumps(heard)], secrets.mark)
    assert heard[-1]["message"]["body"] == "still in the inbox"
    assert await secrets.state() == before


async def test_whoever_has_no_token_gets_nothing(api: Api) -> None:
    secrets, eve = await secrets_of(api), await api.register()
    own = (await eve.talk())["id"]
    before = await secrets.state()

    answers = await attack(eve, secrets.given(eve, own), token=None)

    refused(answers, secrets.mark)
    assert await secrets.state() == before
    assert not any(b'"user":{' in answer for answer in answers)


@pytest.mark.parametrize("how", ["expired", "revoked", "forged", "of another session"])
async def test_a_token_that_is_none_opens_nothing_even_of_its_owner(api: Api, stack: StackProcess, how: str) -> None:
    secrets = await secrets_of(api)
    ann, token = secrets.ann, secrets.ann.token
    given = secrets.given(ann, secrets.conversation["id"])
    if how == "expired":
        async with local_api(stack, access_token_seconds=1) as served, Api(served.url) as short:
            token = await signed_in(short, ann)
            async with asyncio.timeout(20):
                while "errors" not in await short.post("{ viewer { roles } }", token=token):  # noqa: ASYNC110  # a token's time
                    await asyncio.sleep(0.1)
    elif how == "revoked":
        token = await signed_in(api, ann)
        await api.post("mutation { logout { sessionId } }", token=token)
    elif how == "forged":
        head, body, signature = token.split(".")
        token = f"{head}.{body}.{signature[::-1]}"
    else:
        token = ".".join([*(await api.register()).token.split(".")[:2], token.split(".")[2]])
    before = await secrets.state()

    answers = await attack(ann, given, token=token)

    refused(answers, secrets.mark)
    assert all(b"UNAUTHENTICATED" in answer or b"TOKEN_EXPIRED" in answer for answer in answers[:-1])
    assert await secrets.state() == before


async def signed_in(api: Api, person: Person) -> str:
    """Return the access token of another session."""
    login = "mutation ($i: LoginInput!) { login(input: $i) { accessToken } }"
    answer = await api.post(login, {"i": {"handle": person.handle, "password": "correct horse battery"}})
    return str(answer["data"]["login"]["accessToken"])


async def test_a_stolen_refresh_token_ends_the_session_for_the_thief_and_the_owner(api: Api, other_api: Api) -> None:
    secrets = await secrets_of(api)
    renew = "mutation ($i: RefreshSessionInput!) { refreshSession(input: $i) { accessToken refreshToken } }"

    async def renewed(at: Api, token: str) -> Json:
        answer: Json = (await at.post(renew, {"i": {"refreshToken": token}}))["data"]["refreshSession"]
        return answer

    stolen = secrets.ann.refresh_token
    thief = await renewed(other_api, stolen)
    thief = await renewed(other_api, thief["refreshToken"])
    await renewed(api, stolen)  # the owner's client renews as ever, and the theft shows
    given = secrets.given(secrets.ann, secrets.conversation["id"])

    async with asyncio.timeout(10):
        while "errors" not in await other_api.post("{ viewer { roles } }", token=thief["accessToken"]):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    answers = await attack(secrets.ann.at(other_api), given, token=thief["accessToken"])

    refused(answers, secrets.mark)
    assert (await renewed(other_api, thief["refreshToken"]))["accessToken"] is None


async def test_whoever_is_blocked_cannot_reach_who_blocked_them(api: Api, other_api: Api) -> None:
    ann, eve = await api.register(), await other_api.register()
    direct = await eve.talk(ann, kind="DIRECT")
    group = await eve.talk()
    await ann.mutate(BLOCK, userId=eve.id)

    sent = await eve.send(direct["id"], "let me in")
    added = await eve.mutate(ADD, conversationId=group["id"], userIds=[ann.id])
    made = await eve.mutate(CREATE, kind="GROUP", memberIds=[ann.id])
    missing = await eve.mutate(CREATE, kind="GROUP", memberIds=["usr_" + 26 * "0"])
    async with eve.socket() as socket:
        again = (await (await socket.start(SEND, {"input": _hello(direct["id"])})).message())["payload"]
    seen = await ann.post(READS[0], {"c": direct["id"]})

    assert sent["message"] is None
    assert added["userErrors"][0]["code"] == "NOT_FOUND"
    assert made == missing, "blocked looks like missing"
    assert again["data"]["sendMessage"]["message"] is None
    assert seen["data"]["conversation"]["messages"]["nodes"] == []


def _hello(conversation_id: str) -> Json:
    return {"conversationId": conversation_id, "body": "let me in", "clientMessageId": uuid.uuid4().hex}


async def test_a_cursor_of_somebody_else_opens_nothing(api: Api) -> None:
    secrets, eve = await secrets_of(api), await api.register()
    own = await eve.talk()
    pages = """query ($c: ID!, $after: String) { conversation(id: $c) {
      messages(first: 5, after: $after) { nodes { body } } } }"""
    lists = """query ($after: String) { viewer { conversations(first: 5, after: $after) {
      edges { cursor node { id title } } } blockedUsers(first: 5, after: $after) { nodes { id } } } }"""
    edges = (await secrets.ann.post(lists))["data"]["viewer"]["conversations"]["edges"]
    cursors = [secrets.cursor, *(edge["cursor"] for edge in edges)]

    answers: list[Any] = []
    for cursor in cursors:
        answers.append(await eve.post(pages, {"c": own["id"], "after": cursor}))
        answers.append(await eve.post(pages, {"c": secrets.conversation["id"], "after": cursor}))
        answers.append(await eve.post(lists, {"after": cursor}))
    async with eve.socket() as socket:
        followed = await (await socket.updates(own["id"], secrets.cursor)).message()
        hidden = await (await socket.updates(secrets.conversation["id"], secrets.cursor)).message()

    refused([orjson.dumps(answer) for answer in [*answers, followed, hidden]], secrets.mark)
    assert answers[0]["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert followed["payload"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert hidden["payload"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_everything_that_has_an_id_is_shown_to_those_alone_whom_it_concerns(api: Api) -> None:
    secrets, eve = await secrets_of(api), await api.register()
    document = "query ($id: ID!) { node(id: $id) { __typename id } }"
    things = {
        "Conversation": secrets.conversation["id"],
        "Message": secrets.message["id"],
        "Session": secrets.session_id,
        "User": secrets.ann.id,
    }
    schema = graphql_schema()
    interface = schema.get_type("Node")
    assert isinstance(interface, GraphQLInterfaceType)
    types = {found.name for found in schema.get_implementations(interface).objects}

    shown = {
        name: [(await who.post(document, {"id": id_}))["data"]["node"] for who in (secrets.ann, eve)]
        for name, id_ in things.items()
    }

    # Alerts, reports and audit events are for operators: test_alerts.py and test_operators.py try others.
    assert types - {"Alert", "AuditEvent", "Report"} == things.keys()
    for name, (to_ann, to_eve) in shown.items():
        assert to_ann == {"__typename": name, "id": things[name]}
        assert to_eve == (to_ann if name == "User" else None)


async def test_what_is_private_of_a_person_is_shown_to_nobody_else(api: Api) -> None:
    ann, eve = await api.register(), await api.register()
    await ann.mutate(PROFILE, sharePresence=False)
    async with ann.socket():
        seen = await eve.post(
            'query ($id: ID!) { presence(userIds: [$id]) { status lastSeenAt } userByHandle(handle: "x") { id } }',
            {"id": ann.id},
        )

    assert seen["data"]["presence"] == [{"status": "UNKNOWN", "lastSeenAt": None}]
    fields = set(graphql_schema().get_type("User").fields)  # type: ignore[union-attr]
    assert fields == {"id", "handle", "displayName", "avatarUrl", "presence", "createdAt"}
