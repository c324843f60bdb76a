"""Takes away what processes left behind that are no more, or lets nobody wait for what they would have done."""

from typing import Final

import structlog

from services.last_seen import LastSeen
from services.presence_store import Change, Device, PresenceStore, State, instance_of
from services.redis import RedisFailedError

CLAIM_SECONDS: Final = 5.0  # how long others leave a dead process to whoever reaps it

_logger = structlog.get_logger()


class Reaper:
    """Does so for this process; twice is no harm."""

    def __init__(self, store: PresenceStore, last_seen: LastSeen, instance: str) -> None:
        self._store = store
        self._last_seen = last_seen
        self._instance = instance
        self.live: frozenset[str] = frozenset()  # leases of all processes, as of the newest heartbeat

    async def reap(self, lease: str, age_ms: int) -> None:
        """Take away the devices of a lease that ended, and was last renewed so long ago."""
        try:
            if not await self._store.claim(lease, CLAIM_SECONDS):
                return
            reaped = await self._store.reap(lease, age_ms)
        except RedisFailedError:
            return  # the next heartbeat finds it again
        for device, change in reaped:
            self._note(device.user_id, change)
        if instance_of(lease) != self._instance:
            _logger.warning("presence.reaped", lease=lease, devices=len(reaped))

    async def heal(self, user_id: str, state: State) -> bool:
        """See to what nobody may be left to do for a user; return whether to look at them again.

        Raises:
            RedisFailedError: Redis is away.
        """
        # A grace, or too soon for a transition: whoever waits for the end of that may die before.
        is_waiting = bool(state.status) and not state.count
        if is_waiting:
            self._note(user_id, await self._store.settle(user_id))
        # A lease that nobody remembers is one that no reaper finds.
        strange = [(session_id, lease) for session_id, lease in state.devices if lease not in self.live]
        for session_id, lease in strange:
            if not await self._store.is_alive(lease):
                self._note(user_id, await self._store.reap_device(Device(user_id, session_id), lease, None))
        return is_waiting or bool(strange)

    def _note(self, user_id: str, change: Change) -> None:
        if change.writes_seen:
            self._last_seen.note(user_id, change.seen_ms)
