"""Many keys, one read; made fresh for each operation and for each event, so that nothing stale is served."""

from datetime import datetime
from functools import cached_property

from strawberry.dataloader import DataLoader

from loaders.limits import standings_by_bucket
from loaders.messages import messages_by_place
from loaders.mutes import mutes_by_muter
from loaders.presence import presence_by_user
from loaders.receipts import Reader, floors_by_conversation, receipts_by_reader
from loaders.senders import Sender, by_sender
from loaders.users import users_by_id
from services.delivery import Floor
from services.limits import Allowance, Standing
from services.messages import Message, Place
from services.mutes import Muter
from services.presence import Presence
from services.receipts import Receipts
from services.senders import SendPermission
from services.services import Services
from services.users import User


class Loaders:
    """All loaders of one operation; each is made when it is asked for."""

    def __init__(self, services: Services, allowance: Allowance) -> None:
        self._services = services
        self._allowance = allowance

    def forget(self) -> None:
        """Load everything anew from here on: a mutation may have changed what the one before it has shown."""
        for name in [name for name in vars(self) if not name.startswith("_")]:
            delattr(self, name)

    @cached_property
    def users(self) -> DataLoader[str, User | None]:
        return DataLoader(load_fn=users_by_id(self._services.profiles))

    @cached_property
    def presence(self) -> DataLoader[str, Presence]:
        return DataLoader(load_fn=presence_by_user(self._services.presence))

    @cached_property
    def mutes(self) -> DataLoader[Muter, datetime | None]:
        return DataLoader(load_fn=mutes_by_muter(self._services.mutes))

    @cached_property
    def receipts(self) -> DataLoader[Reader, Receipts | None]:
        return DataLoader(load_fn=receipts_by_reader(self._services.receipts))

    @cached_property
    def floors(self) -> DataLoader[str, Floor]:
        return DataLoader(load_fn=floors_by_conversation(self._services.receipts))

    @cached_property
    def messages(self) -> DataLoader[Place, Message | None]:
        return DataLoader(load_fn=messages_by_place(self._services.messages))

    @cached_property
    def send_permissions(self) -> DataLoader[Sender, SendPermission]:
        return DataLoader(load_fn=by_sender(self._services.senders.permissions))

    @cached_property
    def blocks(self) -> DataLoader[Sender, bool]:
        """Whether one keeps the user from writing there."""
        return DataLoader(load_fn=by_sender(self._services.senders.blocked))

    @cached_property
    def standings(self) -> DataLoader[str, Standing | None]:
        return DataLoader(load_fn=standings_by_bucket(self._allowance))
