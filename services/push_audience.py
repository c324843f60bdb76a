"""Whom to tell of a message: members who have not got it, are not connected, and want to hear of it."""

from collections.abc import Sequence
from datetime import datetime
from itertools import batched
from typing import Final

from services.blocks import Blocks
from services.entries import MessageSent
from services.mongo import Database, Document
from services.mutes import mutes_of
from services.presence_store import PresenceStore
from services.push_endpoints import PushEndpoint, PushEndpoints
from services.receipts import receipts_of
from services.redis import RedisFailedError
from services.state import Member
from services.users import Users

READ_SIZE: Final = 100

type Wanted = dict[str, list[PushEndpoint]]  # by user


class PresenceUnknownError(Exception):
    """Nobody knows at this moment whether somebody is connected."""


class PushAudience:
    """Asks everything that counts, as of now."""

    def __init__(
        self, database: Database, users: Users, blocks: Blocks, endpoints: PushEndpoints, presence: PresenceStore
    ) -> None:
        self._receipts = database["receipts"]
        self._mutes = database["mutes"]
        self._users = users
        self._blocks = blocks
        self._endpoints = endpoints
        self._presence = presence

    async def of(self, sent: MessageSent, members: Sequence[Member], now: datetime, *, is_patient: bool) -> Wanted:
        """Return those of these members who are to be told of a message, with where.

        Raises:
            PresenceUnknownError: `is_patient`, and it is not known of somebody whether they are connected.
            PyMongoError: MongoDB did not answer.
        """
        mine = {
            member.user_id: member
            for member in members
            if member.active and member.joined_sequence < sent.sequence and member.user_id != sent.actor_id
        }
        # Most have no endpoint: asked first, this spares the other questions.
        wanted = await self._endpoints.of_users(list(mine), now)
        wanted = _only(wanted, await self._without(sent, [mine[user_id] for user_id in wanted]))
        if not wanted:
            return wanted
        muted = await mutes_of(self._mutes, [(user_id, sent.conversation_id) for user_id in wanted], now)
        blockers = await self._blocks.blockers(sent.actor_id, wanted)
        users = await self._users.get_many(wanted)
        wanted = _only(
            wanted,
            {
                user_id
                for user_id in wanted
                if (user_id, sent.conversation_id) not in muted
                and user_id not in blockers
                and user_id in users
                and users[user_id].suspended_at is None
            },
        )
        return _only(wanted, await self._absent(list(wanted), is_patient=is_patient)) if wanted else wanted

    async def _without(self, sent: MessageSent, members: Sequence[Member]) -> set[str]:
        """Return those members whom the message has not reached, as far as they have said."""
        stored: dict[str, Document] = {}
        for batch in batched([member.id for member in members], READ_SIZE, strict=False):
            stored |= await self._receipts.find_many(batch)
        return {
            member.user_id
            for member in members
            if receipts_of(member, stored.get(member.id)).delivered.sequence < sent.sequence
        }

    async def _absent(self, user_ids: list[str], *, is_patient: bool) -> set[str]:
        try:
            connected = await self._presence.connected(user_ids)
        except RedisFailedError:
            connected = dict.fromkeys(user_ids)
        if is_patient and None in connected.values():
            raise PresenceUnknownError
        return {user_id for user_id, is_connected in connected.items() if not is_connected}


def _only(wanted: Wanted, user_ids: set[str]) -> Wanted:
    return {user_id: endpoints for user_id, endpoints in wanted.items() if user_id in user_ids}
