"""Four people do anything to a conversation, in any order, at two processes: answers, news and reads are as ruled.

After each call everybody reads everything at both processes. What they read must be what `tests/machine/rules.py` makes
of all calls so far, and what their own subscription had told them. Planted mistakes of these kinds are found: counts
that ignore deletions or mutes, reactions and versions folded wrongly, cursors that are off by one, a last owner who may
leave, entries of which Redis is not told, words that outlive a deletion.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule, run_state_machine_as_test

from tests.api.test_messages import mutation
from tests.clients import (
    ADD,
    BLOCK,
    LEAVE,
    MARK_DELIVERED,
    MARK_READ,
    MUTE,
    REMOVE,
    SET_ROLE,
    UNBLOCK,
    UPDATE,
)
from tests.machine.reading import FOREVER, MESSAGE
from tests.machine.rules import Kind, Message, Role
from tests.machine.talk import Talk, World
from tests.stack_process import StackProcess

EXAMPLES = 6
CALLS = 22  # in an example, after the first messages

FILE = {"name": "plan.pdf", "url": "https://files.example/plan.pdf", "mediaType": "application/pdf", "sizeBytes": 10}
CHANGES = {
    name: mutation(name, "message { " + MESSAGE + " }")
    for name in (
        *("sendMessage", "editMessage", "deleteMessage"),
        *("addReaction", "removeReaction", "pinMessage", "unpinMessage"),
    )
}
REPORT = mutation("reportMessage", "messageId")

everybody = st.integers(0, 3)
actors = st.sampled_from([0, 0, 0, 1, 1, 2, 3])  # the first is an owner, of whose calls fewer are refused
processes = st.integers(0, 1)
words = st.sampled_from(["one", "two", "three", "four", "five", "six", " "])
emojis = st.sampled_from(["👍", "❤️", "🎉"])
senders = st.none() | everybody  # None: whoever sent the message that it is about


@pytest.fixture(scope="module")
def world(stack: StackProcess) -> Iterator[World]:
    with World(stack) as world:
        yield world


def test_whatever_anybody_does_is_answered_told_and_read_as_the_rules_say(world: World) -> None:
    def machine() -> Machine:
        return Machine(world)

    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]  # it asks for a class, and only calls it
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=CALLS,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


class Machine(RuleBasedStateMachine):
    """One conversation, and all that can be done to it."""

    messages: "Bundle[Message]" = Bundle("messages")

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._talk = Talk(world)
        self._is_sound = False  # whether the last call was found to be right

    # ------------------------------------------------------------ calls

    @initialize(
        target=messages,
        kind=st.sampled_from(["GROUP", "GROUP", "CHANNEL", "DIRECT"]),
        others=st.sampled_from([(), (1,), (1, 2), (1, 2, 3)]),
        following=st.lists(processes, min_size=4, max_size=4),
        inbox=everybody,
        first=st.lists(st.tuples(actors, processes, words), min_size=3, max_size=5),
    )
    def begin(
        self, kind: Kind, others: tuple[int, ...], following: list[int], inbox: int, first: list[tuple[int, int, str]]
    ) -> Any:
        self._world.run(self._talk.begin(kind, others, following, inbox))
        self._is_sound = True
        # There is little to do to a conversation in which nothing was said.
        said = [self._send(who, at, text, None, attached=False) for who, at, text in first]
        return multiple(*(message for message in said if isinstance(message, Message)))

    @rule(target=messages, who=actors, at=processes, text=words, named=st.none() | everybody, attached=st.booleans())
    def send(self, who: int, at: int, text: str, named: int | None, attached: bool) -> Any:
        return self._send(who, at, self._body(text, named), None, attached=attached)

    @rule(target=messages, who=actors, at=processes, text=words, quoted=messages)
    def reply(self, who: int, at: int, text: str, quoted: Message) -> Any:
        return self._send(who, at, text, quoted, attached=False)

    @rule(message=messages, at=processes, same=st.booleans())
    def repeat(self, message: Message, at: int, same: bool) -> None:
        body = message.sent["body"] + ("" if same else "!")
        quoted = next(
            (other for other in self._talk.room.messages.values() if other.id == message.sent["replyTo"]), None
        )
        who = [person.id for person in self._talk.people].index(message.sender)
        self._send(who, at, body, quoted, attached=bool(message.sent["attachments"]), client_id=message.client_id)

    @rule(
        who=senders,
        at=processes,
        message=messages,
        text=words,
        named=st.none() | everybody,
        behind=st.none() | st.integers(0, 1),
    )
    def edit(
        self, who: int | None, at: int, *, message: Message, text: str, named: int | None, behind: int | None
    ) -> None:
        body = self._body(text, named)
        version = None if behind is None else message.version - behind
        actor = self._actor(who, message)
        given = {"body": body} | ({} if version is None else {"expectedVersion": version})
        self._change(
            actor, at, "editMessage", message, partial(self._talk.room.edit, actor, message, body, version), **given
        )

    @rule(who=senders, at=processes, message=messages)
    def delete(self, who: int | None, at: int, message: Message) -> None:
        actor = self._actor(who, message)
        self._change(actor, at, "deleteMessage", message, partial(self._talk.room.delete, actor, message))

    @rule(who=actors, at=processes, message=messages, emoji=emojis)
    def react(self, who: int, at: int, message: Message, emoji: str) -> None:
        actor = self._talk.people[who].id
        made = partial(self._talk.room.react, actor, message, emoji)
        self._change(actor, at, "addReaction", message, made, emoji=emoji)

    @rule(who=actors, at=processes, message=messages, emoji=emojis)
    def unreact(self, who: int, at: int, message: Message, emoji: str) -> None:
        actor = self._talk.people[who].id
        made = partial(self._talk.room.unreact, actor, message, emoji)
        self._change(actor, at, "removeReaction", message, made, emoji=emoji)

    @rule(who=actors, at=processes, message=messages)
    def pin(self, who: int, at: int, message: Message) -> None:
        actor = self._talk.people[who].id
        self._change(actor, at, "pinMessage", message, partial(self._talk.room.pin, actor, message))

    @rule(who=actors, at=processes, message=messages)
    def unpin(self, who: int, at: int, message: Message) -> None:
        actor = self._talk.people[who].id
        self._change(actor, at, "unpinMessage", message, partial(self._talk.room.unpin, actor, message))

    @rule(who=actors, at=processes, message=messages)
    def report(self, who: int, at: int, message: Message) -> None:
        actor = self._talk.people[who].id
        self._call(actor, at, REPORT, partial(self._talk.room.report, actor, message), messageId=message.id, reason="-")

    @rule(who=actors, at=processes, others=st.lists(everybody, min_size=1, max_size=3))
    def add(self, who: int, at: int, others: list[int]) -> None:
        actor, user_ids = self._talk.people[who].id, [self._talk.people[other].id for other in others]
        self._call(
            actor,
            at,
            ADD,
            partial(self._talk.room.add, actor, user_ids),
            conversationId=self._talk.id,
            userIds=user_ids,
        )

    @rule(who=actors, at=processes, other=everybody)
    def remove(self, who: int, at: int, other: int) -> None:
        actor, user_id = self._talk.people[who].id, self._talk.people[other].id
        made = partial(self._talk.room.remove, actor, user_id)
        self._call(actor, at, REMOVE, made, conversationId=self._talk.id, userId=user_id)

    @rule(who=actors, at=processes)
    def leave(self, who: int, at: int) -> None:
        actor = self._talk.people[who].id
        self._call(actor, at, LEAVE, partial(self._talk.room.leave, actor), conversationId=self._talk.id)

    @rule(who=actors, at=processes, other=everybody, role=st.sampled_from(["OWNER", "MODERATOR", "MEMBER"]))
    def set_role(self, who: int, at: int, other: int, role: Role) -> None:
        actor, user_id = self._talk.people[who].id, self._talk.people[other].id
        made = partial(self._talk.room.set_role, actor, user_id, role)
        self._call(actor, at, SET_ROLE, made, conversationId=self._talk.id, userId=user_id, role=role)

    @rule(who=actors, at=processes, title=st.sampled_from([None, "Engines", "Plans"]))
    def change_title(self, who: int, at: int, title: str | None) -> None:
        actor = self._talk.people[who].id
        made = partial(self._talk.room.change, actor, {"title": title})
        self._call(actor, at, UPDATE, made, conversationId=self._talk.id, title=title)

    @rule(who=actors, at=processes, archived=st.booleans())
    def archive(self, who: int, at: int, archived: bool) -> None:
        actor = self._talk.people[who].id
        made = partial(self._talk.room.change, actor, {"archived": archived})
        self._call(actor, at, UPDATE, made, conversationId=self._talk.id, archived=archived)

    @rule(who=actors, at=processes, muted=st.sampled_from([True, True, False]))
    def mute(self, who: int, at: int, muted: bool) -> None:
        actor = self._talk.people[who].id
        until = FOREVER if muted else None
        self._call(
            actor,
            at,
            MUTE,
            partial(self._talk.room.mute, actor, muted=muted),
            conversationId=self._talk.id,
            until=until,
        )

    @rule(who=actors, at=processes, other=everybody, blocked=st.booleans())
    def block(self, who: int, at: int, other: int, blocked: bool) -> None:
        actor, user_id = self._talk.people[who].id, self._talk.people[other].id
        made = partial(self._talk.room.block, actor, user_id, blocked=blocked)
        self._call(actor, at, BLOCK if blocked else UNBLOCK, made, userId=user_id)

    @rule(who=actors, at=processes, back=st.sampled_from([0, 0, 1, 1, 2, 3, 5, 8]), is_read=st.booleans())
    def mark(self, who: int, at: int, back: int, is_read: bool) -> None:
        actor, upto = self._talk.people[who].id, self._talk.room.sequence + 1 - back
        made = partial(self._talk.room.mark, actor, upto, read=is_read)
        self._call(
            actor, at, MARK_READ if is_read else MARK_DELIVERED, made, conversationId=self._talk.id, upToSequence=upto
        )

    @rule(who=actors, at=processes, start=st.integers(0, 40))
    def resume(self, who: int, at: int, start: int) -> None:
        self._is_sound = False
        self._world.run(self._talk.resume(self._talk.people[who], at, 1 + start % self._talk.room.sequence))
        self._is_sound = True

    def teardown(self) -> None:
        try:
            if self._is_sound:
                self._world.run(self._talk.end())
        finally:
            self._world.run(self._talk.tidy())

    # ------------------------------------------------------------ how a call is made

    def _body(self, text: str, named: int | None) -> str:
        return text if named is None else f"{text} @{self._talk.people[named].handle}"

    def _actor(self, who: int | None, message: Message) -> str:
        return message.sender if who is None else self._talk.people[who].id

    def _send(
        self, who: int, at: int, body: str, quoted: Message | None, *, attached: bool, client_id: str | None = None
    ) -> Any:
        actor, attachments = self._talk.people[who].id, [FILE] if attached else []
        client_id = client_id or f"m{self._talk.room.sequence}"
        before = set(self._talk.room.messages)
        given = {"body": body, "clientMessageId": client_id, "replyToId": quoted and quoted.id}
        message = self._call(
            actor,
            at,
            CHANGES["sendMessage"],
            partial(self._talk.room.send, actor, client_id, body, quoted, attachments),
            conversationId=self._talk.id,
            attachments=attachments,
            **given,
        )
        return message if message is not None and message.sequence not in before else multiple()

    def _change(
        self, actor: str, at: int, name: str, message: Message, made: Callable[[], None], **given: object
    ) -> None:
        def changed() -> Message:
            made()
            return message

        self._call(actor, at, CHANGES[name], changed, messageId=message.id, **given)

    def _call(
        self, actor: str, at: int, query: str, made: Callable[[], Message | None], **given: object
    ) -> Message | None:
        self._is_sound = False
        found = self._world.run(self._talk.judged(actor, at, query, made, given))
        self._is_sound = True
        return found
