"""Sessions: one for each signed-in device."""

from datetime import datetime

import strawberry

from resolvers import sessions as resolvers
from schema.connections import Node
from schema.errors import Refusable
from schema.users import User
from schema.view import enumeration, field, mutation, resolved, view
from services import session_notices, sessions
from services.session_notices import SessionNoticeKind

enumeration(
    SessionNoticeKind,
    "What concerns a session.",
    EXPIRING="Its access token ends in a minute: renew it.",
    REVOKED="It was ended elsewhere: sign in again.",
)


@view(sessions.Session, "One signed-in device.")
class Session(Node):
    device: str | None = field("What the device calls itself; null when it said nothing.")
    created_at: datetime = field("When somebody signed in.")
    last_used_at: datetime = field("When the session was last renewed.")
    expires_at: datetime = field("When the session ends unless it is renewed.")
    viewer_is_current: bool = resolved(resolvers.is_current, bool, "Whether this is the session of the request.")


@view(
    session_notices.SessionNotice,
    "What concerns the session itself: `EXPIRING` a minute before its access token ends, `REVOKED` when it was ended "
    "elsewhere.",
)
class SessionNotice:
    kind: SessionNoticeKind = field("What it is.")
    expires_at: datetime | None = field("When the access token ends; null when the session was ended.")


@strawberry.type
class SignedIn(Refusable):
    """What every payload that begins or renews a session has."""

    user: User | None = field("Who is signed in; null when refused.")
    session: Session | None = field("The session; null when refused.")
    access_token: str | None = field("Goes into `Authorization: Bearer …`; null when refused.")
    refresh_token: str | None = field("Renews the session, once; null when refused.")
    access_token_expires_at: datetime | None = field("When the access token ends; null when refused.")


@strawberry.type(description="The outcome of `register`.")
class RegisterPayload(SignedIn):
    pass


@strawberry.type(description="The outcome of `login`.")
class LoginPayload(SignedIn):
    pass


@strawberry.type(description="The outcome of `loginWithToken`.")
class LoginWithTokenPayload(SignedIn):
    pass


@strawberry.type(description="The outcome of `refreshSession`.")
class RefreshSessionPayload(SignedIn):
    pass


@strawberry.type(description="The outcome of `logout`.")
class LogoutPayload(Refusable):
    session_id: strawberry.ID | None = field("The session that was ended.")


@strawberry.type(description="The outcome of `revokeSession`.")
class RevokeSessionPayload(Refusable):
    session_id: strawberry.ID | None = field("The session that is over; null when refused.")


@strawberry.type(description="The outcome of `changePassword`.")
class ChangePasswordPayload(SignedIn):
    pass


@strawberry.type(description="The outcome of `resetPassword`.")
class ResetPasswordPayload(SignedIn):
    pass


@strawberry.input(description="The input of `register`.")
class RegisterInput:
    handle: str = field("2 to 32 of a-z, 0-9, _ and .; compared in lower case, never given twice.")
    password: str = field("8 to 256 characters.")
    display_name: str | None = strawberry.field(default=None, description="The name to show; the handle when left out.")
    device: str | None = strawberry.field(default=None, description="What this device is called in lists of sessions.")


@strawberry.input(description="The input of `login`.")
class LoginInput:
    handle: str = field("The account's handle.")
    password: str = field("The account's password.")
    device: str | None = strawberry.field(default=None, description="What this device is called in lists of sessions.")


@strawberry.input(description="The input of `loginWithToken`.")
class LoginWithTokenInput:
    id_token: str = field("An ID token of the issuer that this Parley is set up with, for its client.")
    device: str | None = strawberry.field(default=None, description="What this device is called in lists of sessions.")


@strawberry.input(description="The input of `refreshSession`.")
class RefreshSessionInput:
    refresh_token: str = field("The newest refresh token of the session.")


@strawberry.input(description="The input of `revokeSession`.")
class RevokeSessionInput:
    session_id: strawberry.ID = field("One of the caller's own sessions.")


@strawberry.input(description="The input of `changePassword`.")
class ChangePasswordInput:
    current_password: str = field("The password until now.")
    new_password: str = field("8 to 256 characters.")


@strawberry.input(description="The input of `resetPassword`.")
class ResetPasswordInput:
    token: str = field("From a one-time reset link.")
    new_password: str = field("8 to 256 characters.")
    device: str | None = strawberry.field(default=None, description="What this device is called in lists of sessions.")


@strawberry.type
class SessionMutations:
    register = mutation(resolvers.register, RegisterInput, RegisterPayload, "Make an account and sign in.")
    login = mutation(resolvers.login, LoginInput, LoginPayload, "Sign in.")
    login_with_token = mutation(
        resolvers.login_with_token,
        LoginWithTokenInput,
        LoginWithTokenPayload,
        "Sign in with an ID token of an external OpenID Connect issuer, the first time with a new account; FORBIDDEN "
        "where none is set up.",
    )
    refresh_session = mutation(
        resolvers.refresh_session, RefreshSessionInput, RefreshSessionPayload, "Renew a session with its refresh token."
    )
    logout = strawberry.mutation(
        resolver=resolvers.logout, graphql_type=LogoutPayload, description="End the session of the request."
    )
    revoke_session = mutation(
        resolvers.revoke_session, RevokeSessionInput, RevokeSessionPayload, "End one of the caller's sessions."
    )
    change_password = mutation(
        resolvers.change_password,
        ChangePasswordInput,
        ChangePasswordPayload,
        "Set another password; ends the caller's other sessions and renews this one.",
    )
    reset_password = mutation(
        resolvers.reset_password,
        ResetPasswordInput,
        ResetPasswordPayload,
        "Set the password with a one-time link; ends all sessions of the account and signs in.",
    )
