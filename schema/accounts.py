"""What administrators do to accounts."""

import strawberry

from resolvers import accounts as resolvers
from schema.users import UserOutcome
from schema.view import field, mutation


@strawberry.input(description="The input of `suspendUser`.")
class SuspendUserInput:
    user_id: strawberry.ID = field("Whom to suspend.")


@strawberry.input(description="The input of `restoreUser`.")
class RestoreUserInput:
    user_id: strawberry.ID = field("Whose suspension to end.")


@strawberry.type(description="The outcome of `suspendUser`.")
class SuspendUserPayload(UserOutcome):
    pass


@strawberry.type(description="The outcome of `restoreUser`.")
class RestoreUserPayload(UserOutcome):
    pass


@strawberry.type
class AccountMutations:
    suspend_user = mutation(
        resolvers.suspend_user,
        SuspendUserInput,
        SuspendUserPayload,
        "Suspend an account: its sessions end, nobody can sign in to it, and it cannot send. For ADMIN.",
    )
    restore_user = mutation(
        resolvers.restore_user, RestoreUserInput, RestoreUserPayload, "End an account's suspension. For ADMIN."
    )
