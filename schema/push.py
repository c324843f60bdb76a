"""Where users want to be told of what they miss."""

import strawberry

from resolvers import push as resolvers
from schema.errors import Refusable
from schema.view import enumeration, field, mutation
from services.push_endpoints import PushEndpointKind

enumeration(
    PushEndpointKind,
    "How an endpoint is told: through a browser's push service, or by a request to a server.",
    WEB_PUSH="Through the push service of a browser.",
    WEBHOOK="By a signed request to a server.",
)


@strawberry.input(
    description="The input of `registerPushEndpoint`: a Web Push subscription, or a webhook signed with `secret`."
)
class RegisterPushEndpointInput:
    kind: PushEndpointKind = field("How the endpoint is told.")
    url: str = field("Where it is: an https address on a public host, of at most 2 048 characters.")
    p256dh: str | None = strawberry.field(
        default=None, description="For WEB_PUSH: the browser's public key, as `PushSubscription.toJSON()` has it."
    )
    auth: str | None = strawberry.field(
        default=None, description="For WEB_PUSH: the browser's secret, as `PushSubscription.toJSON()` has it."
    )
    secret: str | None = strawberry.field(
        default=None,
        description="For WEBHOOK: what its requests are signed with, 16 to 128 printable characters without spaces; "
        "after `whsec_` they are base64, as in Standard Webhooks.",
    )


@strawberry.input(description="The input of `removePushEndpoint`.")
class RemovePushEndpointInput:
    id: strawberry.ID = field("What `registerPushEndpoint` returned.")


@strawberry.type
class PushEndpointOutcome(Refusable):
    """What the payloads about endpoints have."""

    id: strawberry.ID | None = field("The endpoint it was about; null when refused.")


@strawberry.type(description="The outcome of `registerPushEndpoint`.")
class RegisterPushEndpointPayload(PushEndpointOutcome):
    pass


@strawberry.type(description="The outcome of `removePushEndpoint`.")
class RemovePushEndpointPayload(PushEndpointOutcome):
    pass


@strawberry.type
class PushMutations:
    register_push_endpoint = mutation(
        resolvers.register_push_endpoint,
        RegisterPushEndpointInput,
        RegisterPushEndpointPayload,
        "Have the caller told, there, of messages that they miss, for as long as the session lives. The same address "
        "again replaces what was said of it; at most 10 for each user.",
    )
    remove_push_endpoint = mutation(
        resolvers.remove_push_endpoint,
        RemovePushEndpointInput,
        RemovePushEndpointPayload,
        "Tell an endpoint no more.",
    )
