"""People."""

from datetime import datetime

import strawberry

from resolvers import presence
from resolvers import users as resolvers
from schema.connections import Node
from schema.errors import Refusable
from schema.presence import Presence
from schema.view import enumeration, field, mutation, resolved, view
from services import users
from services.users import Role

enumeration(
    Role,
    "What an account may do beyond chatting.",
    USER="Nothing more.",
    OPERATOR="Watching over the deployment.",
    ADMIN="Deciding about the deployment and its accounts.",
)


@view(users.User, "A person.")
class User(Node):
    handle: str = field("The name to find the person by; unique, and never given twice.")
    display_name: str = field("The name to show.")
    avatar_url: str | None = field("Where the person's picture is; null when there is none.")
    presence: Presence = resolved(presence.of_user, Presence, "Whether the person is there.")
    created_at: datetime = field("When the account was made.")


@strawberry.input(description="The input of `updateProfile`; what is left out stays.")
class UpdateProfileInput:
    display_name: str | None = strawberry.field(
        default=None, description="The name to show, at most 64 characters; null changes nothing."
    )
    avatar_url: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="Where the picture is: an https address of at most 2 048 characters; null takes the picture away.",
    )
    share_presence: bool | None = strawberry.field(
        default=None, description="False shows UNKNOWN as presence to everybody; null changes nothing."
    )


@strawberry.input(description="The input of `blockUser`.")
class BlockUserInput:
    user_id: strawberry.ID = field("Whom to block.")


@strawberry.input(description="The input of `unblockUser`.")
class UnblockUserInput:
    user_id: strawberry.ID = field("Whom to block no longer.")


@strawberry.type
class UserOutcome(Refusable):
    """What the payloads about people have."""

    user: User | None = field("The person it was about; null when refused.")


@strawberry.type(description="The outcome of `updateProfile`.")
class UpdateProfilePayload(UserOutcome):
    pass


@strawberry.type(description="The outcome of `blockUser`.")
class BlockUserPayload(UserOutcome):
    pass


@strawberry.type(description="The outcome of `unblockUser`.")
class UnblockUserPayload(UserOutcome):
    pass


@strawberry.type
class UserMutations:
    update_profile = mutation(
        resolvers.update_profile,
        UpdateProfileInput,
        UpdateProfilePayload,
        "Change what the caller shows of themselves.",
    )
    block_user = mutation(
        resolvers.block_user,
        BlockUserInput,
        BlockUserPayload,
        "Block somebody: they can no longer write in the DIRECT conversation, nor bring the caller into another.",
    )
    unblock_user = mutation(
        resolvers.unblock_user, UnblockUserInput, UnblockUserPayload, "Take a block back; without one nothing changes."
    )
