"""Many keys, one read; made fresh for each operation and for each event, so that nothing stale is served."""

from dataclasses import dataclass

from strawberry.dataloader import DataLoader

from loaders.messages import messages_by_place
from loaders.users import users_by_id
from services.messages import Message, Place
from services.services import Services
from services.users import User


@dataclass(frozen=True, slots=True)
class Loaders:
    """All loaders of one operation."""

    users: DataLoader[str, User | None]
    messages: DataLoader[Place, Message | None]


def make_loaders(services: Services) -> Loaders:
    """Return new loaders."""
    return Loaders(
        users=DataLoader(load_fn=users_by_id(services.users)),
        messages=DataLoader(load_fn=messages_by_place(services.messages)),
    )
