"""People."""

from datetime import datetime

import strawberry

from schema.connections import Node
from schema.view import field, view
from services import users
from services.users import Role

strawberry.enum(Role, description="What an account may do beyond chatting.")


@view(users.User, "A person.")
class User(Node):
    handle: str = field("The name to find the person by; unique, and never given twice.")
    display_name: str = field("The name to show.")
    avatar_url: str | None = field("Where the person's picture is; null when there is none.")
    created_at: datetime = field("When the account was made.")
