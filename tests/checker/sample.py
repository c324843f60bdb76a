"""Makes correct histories of a chat that never was, for the checker's own tests."""

from dataclasses import dataclass, field
from random import Random

from tests.checker.history import (
    CaughtUp,
    Closed,
    Entry,
    FaultChanged,
    MemberChanged,
    Read,
    Received,
    Record,
    Resynced,
    SendAcked,
    SendFailed,
    SendInvoked,
    SendUnknown,
    Subscribed,
)

USERS = ("ann", "bob", "cal", "dan")  # ann is always a member
INSTANCES = ("api-1", "api-2")
MESSAGE = "MessageSent"


@dataclass(slots=True)
class _Reader:
    """A subscriber: what it has, and the connection it has now."""

    user: str
    connection: str | None = None
    connections: int = 0
    position: int = 0


@dataclass(slots=True)
class Sample:
    """One conversation, simulated step by step."""

    random: Random
    name: str = "cnv"
    records: list[Record] = field(default_factory=list)
    _now: int = 0
    _broken: bool = False
    _log: list[Entry] = field(default_factory=list)
    _joined: dict[str, int] = field(default_factory=dict)
    _left: dict[str, int] = field(default_factory=dict)
    _flying: list[SendInvoked] = field(default_factory=list)
    _unknown: list[SendInvoked] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)
    _readers: dict[str, _Reader] = field(default_factory=lambda: {user: _Reader(user) for user in USERS})

    def run(self, steps: int) -> list[Record]:
        """Return the records of a run that ends with everything delivered and read."""
        for user in USERS[:3]:
            self._join(user)
        acts = [self._send, self._settle, self._retry, self._deliver, self._deliver, self._deliver, self._connect]
        acts += [self._disconnect, self._change_members, self._read, self._fault]
        for _ in range(steps):
            self.random.choice(acts)()
        while self._flying:
            self._settle()
        for reader in self._readers.values():
            self._connect(reader)
            while self._next(reader):
                self._deliver(reader)
        for instance in INSTANCES:
            self._add(self._answer("ann", instance, after=0, final=True))
        return self.records

    def _tick(self) -> int:
        self._now += self.random.randint(1, 5_000_000)
        return self._now

    def _add(self, record: Record) -> None:
        self.records.append(record)

    def _append(self, kind: str, client_message_id: str | None = None, body: str | None = None) -> int:
        sequence = len(self._log) + 1
        self._log.append(Entry(sequence=sequence, kind=kind, client_message_id=client_message_id, body=body))
        return sequence

    # ------------------------------------------------------------ members

    def _join(self, user: str) -> None:
        self._joined[user] = self._append("MemberAdded")
        self._left.pop(user, None)
        self._changed(user, self._joined[user], joined=True)

    def _changed(self, user: str, sequence: int, *, joined: bool) -> None:
        self._add(MemberChanged(at=self._tick(), conversation=self.name, user=user, sequence=sequence, joined=joined))

    def _is_member(self, user: str) -> bool:
        return user in self._joined and user not in self._left

    def _change_members(self) -> None:
        user = self.random.choice(USERS[1:])
        if self.random.random() < 0.5:
            return
        if self._is_member(user):
            self._left[user] = self._append("MemberRemoved")
            self._changed(user, self._left[user], joined=False)
        elif self._readers[user].connection is None:
            self._join(user)

    # ------------------------------------------------------------ sends

    def _send(self) -> None:
        user = self.random.choice(USERS)
        self._invoke(user, f"m{sum(isinstance(record, SendInvoked) for record in self.records)}")

    def _invoke(self, user: str, client_message_id: str) -> None:
        if any(invoked.user == user for invoked in self._flying):
            return
        invoked = SendInvoked(
            at=self._tick(),
            client=f"{user}-phone",
            user=user,
            conversation=self.name,
            client_message_id=client_message_id,
            body=f"body of {client_message_id}",
        )
        self._add(invoked)
        self._flying.append(invoked)

    def _retry(self) -> None:
        if self._unknown:
            invoked = self._unknown.pop()
            self._invoke(invoked.user, invoked.client_message_id)

    def _settle(self) -> None:
        """Let a send that is under way be stored, or not, and be answered, or not."""
        if not self._flying:
            return
        invoked = self._flying.pop(self.random.randrange(len(self._flying)))
        key, at, place = invoked.client_message_id, self._tick(), self._places.get(invoked.client_message_id)
        if place is None and not self._is_member(invoked.user):
            self._add(
                SendFailed(
                    at=at, client=invoked.client, conversation=self.name, client_message_id=key, code="FORBIDDEN"
                )
            )
            return
        if place is None and self.random.random() < 0.9:
            place = self._places[key] = self._append(MESSAGE, key, invoked.body)
        if place is None or self.random.random() < 0.2:
            self._add(SendUnknown(at=at, client=invoked.client, conversation=self.name, client_message_id=key))
            self._unknown.append(invoked)
        else:
            self._add(
                SendAcked(
                    at=at,
                    client=invoked.client,
                    conversation=self.name,
                    client_message_id=key,
                    sequence=place,
                    message_id=f"msg_{place}",
                )
            )

    # ------------------------------------------------------------ readers

    def _any_reader(self) -> _Reader:
        return self._readers[self.random.choice(USERS)]

    def _connect(self, reader: _Reader | None = None) -> None:
        reader = reader or self._any_reader()
        if reader.connection is not None or not self._is_member(reader.user):
            return
        reader.connections += 1
        reader.connection = f"{reader.user}-{reader.connections}"
        joined = self._joined[reader.user]
        from_now = self.random.random() < 0.2
        resumed = max(0, reader.position - self.random.choice((0, 0, 1, 3)))  # as clients that repeat old variables
        self._add(
            Subscribed(
                at=self._tick(),
                connection=reader.connection,
                subscriber=f"{reader.user}-reader",
                client=f"{reader.user}-phone",
                user=reader.user,
                conversation=self.name,
                after=None if from_now else resumed,
            )
        )
        reader.position = resumed
        if from_now:
            reader.position = len(self._log)
            self._add(CaughtUp(at=self._tick(), connection=reader.connection, sequence=reader.position))
        elif reader.position < joined - 1:
            reader.position = joined - 1
            self._add(Resynced(at=self._tick(), connection=reader.connection, sequence=reader.position))

    def _disconnect(self) -> None:
        reader = self._any_reader()
        if reader.connection is not None and reader.user not in self._left:
            self._add(Closed(at=self._tick(), connection=reader.connection, code=1006))
            reader.connection = None

    def _next(self, reader: _Reader) -> Entry | None:
        following = self._log[reader.position : self._left.get(reader.user)]
        return following[0] if reader.connection and following else None

    def _deliver(self, reader: _Reader | None = None) -> None:
        reader = reader or self._any_reader()
        entry = self._next(reader)
        if entry is None or reader.connection is None:
            return
        self._add(Received(at=self._tick(), connection=reader.connection, entry=entry))
        reader.position = entry.sequence
        if entry.sequence == self._left.get(reader.user):
            self._add(Closed(at=self._tick(), connection=reader.connection, code=None))
            reader.connection = None
        elif entry.sequence == len(self._log):
            self._add(CaughtUp(at=self._tick(), connection=reader.connection, sequence=entry.sequence))

    def _answer(self, user: str, instance: str, *, after: int, final: bool = False) -> Read:
        return Read(
            invoked_at=self._tick(),
            at=self._tick(),
            client=f"{user}-phone",
            user=user,
            instance=instance,
            conversation=self.name,
            after=after,
            entries=tuple(self._log[after:]),
            final=final,
        )

    def _read(self) -> None:
        user = self.random.choice(USERS)
        if self._is_member(user):
            after = max(self._joined[user] - 1, len(self._log) - self.random.choice((2, 5, 50)))
            self._add(self._answer(user, self.random.choice(INSTANCES), after=after))

    def _fault(self) -> None:
        self._broken = not self._broken
        self._add(FaultChanged(at=self._tick(), label="kill api", active=self._broken))
