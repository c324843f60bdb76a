"""What a socket hears of its own session: that its token is about to end, and that the session was ended."""

import asyncio
import math
from collections.abc import Callable, Collection, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from parley.execution import Engine, Operation
from parley.frames import SharedText
from parley.protocol import NEXT_TAIL
from parley.requests import new_request_id
from resolvers.context import Context
from services.session_notices import SessionNotice, SessionNoticeKind
from services.tokens import Claims

if TYPE_CHECKING:
    from parley.fanout import Subscriber

NOTICE_SECONDS = 60.0  # how long before the end of its token a client is told
LOOK_SECONDS = 0.1  # for so long ends are collected: all sockets are looked through for each lot of them


class SessionFollower:
    """One subscription to `session`; its socket tells it what to say and when."""

    __slots__ = ("_claims", "_engine", "_operation", "_services", "_subscriber", "_variables", "ended", "told")

    def __init__(
        self,
        engine: Engine,
        operation: Operation,
        variables: dict[str, Any] | None,
        context: Context,
        subscriber: "Subscriber",
    ) -> None:
        self._engine = engine
        self._operation = operation
        self._variables = variables
        self._services = context.services
        self._claims = context.claims
        self._subscriber = subscriber
        self.ended = False
        self.told: Claims | None = None  # the token of whose end it was told last; None before

    def cancel(self) -> None:
        """Say nothing more."""
        self.ended = True

    async def tell(self, notice: SessionNotice) -> None:
        """Send a notice."""
        # Made for each notice: a few in an hour are not worth keeping a context and an executor for each socket.
        context = Context(self._services, self._claims)
        executor = self._engine.executor(self._operation, self._variables, context)
        result = await self._engine.event(executor, context, notice, new_request_id())
        if not self.ended:
            self._subscriber.next([SharedText(result + NEXT_TAIL)])

    def complete(self) -> None:
        """End after the last notice."""
        if not self.ended:
            self.cancel()
            self._subscriber.complete()


class SessionNotices:
    """All who follow the session on one socket; made for the first of them."""

    __slots__ = ("_followers",)

    def __init__(self) -> None:
        self._followers: list[SessionFollower] = []

    def add(self, follower: SessionFollower) -> None:
        """Tell one more, from now on."""
        self._followers = [*self._live(), follower]

    def due(self, claims: Claims, seconds_left: float) -> float:
        """Return in how many seconds somebody is to be told of the end of the token."""
        if all(follower.told is claims for follower in self._live()):
            return math.inf
        return seconds_left - NOTICE_SECONDS

    def expiring(self, claims: Claims) -> Coroutine[Any, Any, None]:
        """Return the work of telling everybody who was not told; they count as told at once."""
        followers = [follower for follower in self._live() if follower.told is not claims]
        for follower in followers:
            follower.told = claims
        return _tell(followers, SessionNotice(SessionNoticeKind.EXPIRING, claims.expires_at))

    async def revoked(self) -> None:
        """Tell everybody that the session was ended, and that nothing follows."""
        await _tell(self._live(), SessionNotice(SessionNoticeKind.REVOKED))
        for follower in self._live():
            follower.complete()

    def _live(self) -> list[SessionFollower]:
        return [follower for follower in self._followers if not follower.ended]


async def _tell(followers: Iterable[SessionFollower], notice: SessionNotice) -> None:
    for follower in followers:
        await follower.tell(notice)


class SignedIn(Protocol):
    """Something that ends with a session."""

    @property
    def session_id(self) -> str | None:
        """The session; None where there is none."""

    def revoke(self) -> None:
        """End, because the session has."""


class Ends:
    """Ends what belongs to sessions that have ended.

    Nothing is kept for a socket while its session lasts: they are all looked through, at most ten times a second.
    """

    def __init__(self, everybody: Callable[[], Collection[SignedIn]]) -> None:
        self._everybody = everybody
        self._ended: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None  # None while nothing waits to be looked for

    def add(self, session_ids: Iterable[str]) -> None:
        """Look for these sessions soon."""
        self._ended.update(session_ids)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer, ended = None, self._ended
        self._ended = set()
        for signed_in in tuple(self._everybody()):
            if signed_in.session_id in ended:
                signed_in.revoke()
