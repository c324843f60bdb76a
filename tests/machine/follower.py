"""Somebody who reads a conversation once and then follows it, as a front end does: all else is folded from events."""

import asyncio
import copy
from dataclasses import dataclass, field
from typing import Self

from tests.clients import Json, Running

SECONDS = 30.0

_UPDATE = """{ __typename
  ... on ConversationEvent { conversationId sequence cursor at actor { id } }
  ... on MessageSent { message { ...said } }
  ... on MessageEdited { message { ...said } }
  ... on MessagePinned { message { ...said } }
  ... on MessageDeleted { messageId }
  ... on MessageUnpinned { messageId }
  ... on ReactionAdded { messageId emoji }
  ... on ReactionRemoved { messageId emoji }
  ... on MemberAdded { member { user { id } role joinedAt deliveredSequence readSequence } }
  ... on MemberRemoved { userId }
  ... on MemberRoleChanged { member { user { id } role joinedAt } }
  ... on ConversationChanged { conversation { title archivedAt } }
  ... on ReceiptMoved { conversationId userId deliveredSequence readSequence }
  ... on CaughtUp { conversationId sequence cursor }
  ... on ResyncRequired { conversationId reason cursor } } }
fragment said on Message { id sequence sender { id } body version clientMessageId createdAt replyTo { id }
  mentions { id } attachments { name url mediaType sizeBytes } }"""
UPDATES = "subscription ($id: ID!, $after: String) { conversationUpdates(conversationId: $id, after: $after) " + _UPDATE
INBOX = "subscription ($after: [String!]) { inboxUpdates(after: $after) " + _UPDATE


def plain(update: Json) -> Json:
    """Return an event in the form in which the rules have it: what is not of now."""
    event: Json = {key: update[key] for key in ("__typename", "sequence", "messageId", "emoji") if key in update}
    event["actor"] = update["actor"]["id"]
    if "message" in update:
        message = update["message"]
        event["message"] = {key: message[key] for key in ("id", "version", "body", "attachments")}
        event["message"]["mentions"] = [user["id"] for user in message["mentions"]]
    if "member" in update:
        event |= {"user": update["member"]["user"]["id"], "role": update["member"]["role"]}
    if "userId" in update:
        event["user"] = update["userId"]
    return event


@dataclass(slots=True)
class Picture:
    """What a client shows of a conversation: a read of it, and what was folded into that since."""

    sequence: int
    title: str | None
    archived_at: str | None
    members: dict[str, Json]
    messages: dict[str, Json]
    pinned: list[str]  # the newest pin first

    @classmethod
    def of(cls, read: Json) -> Self:
        """Return the picture of a read: that part of it which events tell."""
        conversation = copy.deepcopy(read["conversation"])
        told = ("role", "joinedAt", "deliveredSequence", "readSequence")
        return cls(
            conversation["lastSequence"],
            conversation["title"],
            conversation["archivedAt"],
            {
                member["user"]["id"]: {name: member[name] for name in told}
                for member in conversation["members"]["nodes"]
            },
            {message["id"]: _told(message) for message in conversation["messages"]["nodes"]},
            [message["id"] for message in conversation["pinnedMessages"]],
        )

    @property
    def markers(self) -> dict[str, tuple[int, int]]:
        return {
            user_id: (member["deliveredSequence"], member["readSequence"]) for user_id, member in self.members.items()
        }

    def take(self, update: Json) -> None:
        """Fold one update."""
        name = update["__typename"]
        if name == "ReceiptMoved":
            if (member := self.members.get(update["userId"])) is not None:
                for marker in ("deliveredSequence", "readSequence"):
                    member[marker] = max(member[marker], update[marker])
            return
        assert update["sequence"] == self.sequence + 1, (update, self.sequence)
        self.sequence += 1
        message = self.messages.get(update.get("messageId") or update.get("message", {}).get("id"))
        match name:
            case "MessageSent":
                sent = {**update["message"], "reactions": [], "editedAt": None, "deletedAt": None, "pinnedAt": None}
                self.messages[sent["id"]] = _told(sent)
            case "MemberAdded" | "MemberRoleChanged":
                member = {**update["member"]}
                user_id = member.pop("user")["id"]
                self.members[user_id] = {**self.members.get(user_id, {}), **member}
            case "MemberRemoved":
                del self.members[update["userId"]]
            case "ConversationChanged":
                self.title = update["conversation"]["title"]
                self.archived_at = update["conversation"]["archivedAt"]
            case _ if message is not None:  # else it is from before the joining
                self._change(message, update)

    def _change(self, message: Json, update: Json) -> None:
        reactions: dict[str, list[str]] = message["reactions"]
        match update["__typename"]:
            case "MessageEdited":
                message |= {name: update["message"][name] for name in ("body", "version", "mentions")}
                message["editedAt"] = update["at"]
            case "MessageDeleted":
                message |= {"body": None, "mentions": [], "attachments": [], "reactions": {}, "pinnedAt": None}
                message["deletedAt"] = update["at"]
                self.pinned = [other for other in self.pinned if other != message["id"]]
            case "MessagePinned":
                message["pinnedAt"] = update["at"]
                self.pinned.insert(0, message["id"])
            case "MessageUnpinned":
                message["pinnedAt"] = None
                self.pinned.remove(message["id"])
            case "ReactionAdded":
                reactions.setdefault(update["emoji"], []).append(update["actor"]["id"])
            case "ReactionRemoved":
                reactions[update["emoji"]].remove(update["actor"]["id"])
                if not reactions[update["emoji"]]:
                    del reactions[update["emoji"]]


def _told(message: Json) -> Json:
    """Return what events tell of a message."""
    names = (
        *("id", "sequence", "sender", "body", "clientMessageId", "attachments", "mentions", "version"),
        *("createdAt", "editedAt", "deletedAt", "pinnedAt"),
    )
    reactions = {reaction["emoji"]: [user["id"] for user in reaction["users"]] for reaction in message["reactions"]}
    quoted = message["replyTo"] and message["replyTo"]["id"]
    return {**{name: message[name] for name in names}, "reactions": reactions, "quoted": quoted}


@dataclass(slots=True)
class Follower:
    """A subscription of one member to a conversation, and what came of it so far."""

    running: Running
    conversation_id: str
    picture: Picture
    entries: list[Json] = field(default_factory=list)  # all that were delivered live

    async def until(self, sequence: int, markers: dict[str, tuple[int, int]]) -> None:
        """Take updates until an entry has come and the members' markers are as given.

        Raises:
            AssertionError: they did not come in time, or something else came.
        """
        try:
            async with asyncio.timeout(SECONDS):
                while self.picture.sequence < sequence or self.picture.markers != markers:
                    await self._take()
        except TimeoutError:
            raise AssertionError(
                f"at {self.picture.sequence} instead of {sequence}, {self.picture.markers} instead of {markers}"
            ) from None

    async def until_removed(self, sequence: int, user_id: str) -> None:
        """Take updates until the follower's own removal, which nothing may follow."""
        async with asyncio.timeout(SECONDS):
            while self.picture.sequence < sequence:
                await self._take()
        assert self.entries[-1]["__typename"] == "MemberRemoved", self.entries[-1]
        assert self.entries[-1]["userId"] == user_id, self.entries[-1]

    async def rest(self) -> list[Json]:
        """Return what has come that was news; markers may be told more than once."""
        news: list[Json] = []
        while not self.running._queue.empty():
            before = copy.deepcopy(self.picture)
            news += await self._take()
            news += [] if self.picture == before else [{"__typename": "ReceiptMoved"}]
        return news

    async def _take(self) -> list[Json]:
        """Take an update; return it where it is an entry."""
        update = await self.running.any_update()
        assert update["conversationId"] == self.conversation_id, update
        self.picture.take(update)
        entries = [update] if update["__typename"] != "ReceiptMoved" else []
        self.entries += entries
        return entries


async def until_caught_up(running: Running, conversation_id: str) -> tuple[list[Json], dict[str, tuple[int, int]]]:
    """Return the entries and the members' markers that come before `CaughtUp`, and that last."""
    entries: list[Json] = []
    markers: dict[str, tuple[int, int]] = {}
    while True:
        update = await running.any_update()
        assert update["conversationId"] == conversation_id, update
        if update["__typename"] == "ReceiptMoved":
            markers[update["userId"]] = update["deliveredSequence"], update["readSequence"]
        else:
            entries.append(update)
        if update["__typename"] == "CaughtUp":
            return entries, markers
