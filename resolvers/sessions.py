"""Signing in and out."""

import strawberry

from resolvers.context import Info
from resolvers.payload import Payload, refusable
from services.clock import now
from services.session_notices import SessionStream
from services.sessions import Session, SignedIn


def signed_in(result: SignedIn) -> Payload:
    """Return the payload of everything that begins or renews a session."""
    return Payload(
        user=result.user,
        session=result.session,
        access_token=result.access_token,
        refresh_token=result.refresh_token,
        access_token_expires_at=result.access_token_expires_at,
    )


def renewed(info: Info, result: SignedIn) -> Payload:
    """Return the payload of a renewal, which a connection goes on with whose session it is."""
    if info.context.line is not None:
        info.context.line.renewed(result.claims)
    return signed_in(result)


@refusable
async def register(info: Info, handle: str, password: str, display_name: str | None, device: str | None) -> Payload:
    sessions = info.context.services.sessions
    await info.context.allowance.take_authentication(handle)
    return signed_in(
        await sessions.register(handle=handle, password=password, display_name=display_name, device=device, now=now())
    )


@refusable
async def login(info: Info, handle: str, password: str, device: str | None) -> Payload:
    sessions = info.context.services.sessions
    await info.context.allowance.take_authentication(handle)
    return signed_in(await sessions.login(handle=handle, password=password, device=device, now=now()))


@refusable
async def login_with_token(info: Info, id_token: str, device: str | None) -> Payload:
    await info.context.allowance.take_authentication(f"token {id_token}")  # a token is one account's
    return signed_in(await info.context.services.identities.login(id_token=id_token, device=device, now=now()))


@refusable
async def refresh_session(info: Info, refresh_token: str) -> Payload:
    return renewed(info, await info.context.services.sessions.refresh(refresh_token, now()))


@refusable
async def logout(info: Info) -> Payload:
    session_id = info.context.viewer.session_id
    await info.context.services.sessions.logout(session_id, now())
    _signed_out(info, session_id)
    return Payload(session_id=session_id)


@refusable
async def revoke_session(info: Info, session_id: str) -> Payload:
    await info.context.services.sessions.revoke(info.context.viewer, session_id, now())
    _signed_out(info, session_id)
    return Payload(session_id=session_id)


@refusable
async def change_password(info: Info, current_password: str, new_password: str) -> Payload:
    sessions, viewer = info.context.services.sessions, info.context.viewer
    user = await info.context.loaders.users.load(viewer.user_id)
    await info.context.allowance.take_authentication(viewer.user_id if user is None else user.handle)
    return renewed(info, await sessions.change_password(viewer, current=current_password, new=new_password, now=now()))


@refusable
async def reset_password(info: Info, token: str, new_password: str, device: str | None) -> Payload:
    sessions = info.context.services.sessions
    await info.context.allowance.take_authentication(f"reset {token}")  # a token is one account's
    return signed_in(await sessions.reset_password(token=token, new=new_password, device=device, now=now()))


async def session(info: Info) -> SessionStream:
    info.context.viewer  # noqa: B018  # only who is signed in has a session
    return SessionStream()


def _signed_out(info: Info, session_id: str) -> None:
    if info.context.line is not None and info.context.viewer.session_id == session_id:
        info.context.line.signed_out()


async def of_viewer(info: Info) -> list[Session]:
    return await info.context.services.sessions.of_user(info.context.viewer_id, now())


async def is_current(root: strawberry.Parent[Session], info: Info) -> bool:
    claims = info.context.claims
    return claims is not None and root.id == claims.session_id
