"""Where users want to be told of what they miss: browsers (Web Push) and webhooks.

All endpoints of a user are one document, so that their bound holds and one read has them. An endpoint lives as long as
the session that registered it: nothing is sent to a device that was signed out.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from itertools import batched
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from pymongo.errors import DuplicateKeyError

from services import ids
from services.egress import Egress, RefusedAddressError
from services.errors import Conflict, InvalidInput, NotFound
from services.mongo import Database, Document
from services.tokens import Claims
from services.vapid import Vapid

MOST: Final = 10  # endpoints of a user
READ_SIZE: Final = 100
SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # of secrets as Standard Webhooks writes them
SECRET_BYTES: Final = range(16, 129)

_SECRET = re.compile("[!-~]+")
_URL, _SECRET_PATH = ("input", "url"), ("input", "secret")


class PushEndpointKind(StrEnum):
    WEB_PUSH = "WEB_PUSH"
    WEBHOOK = "WEBHOOK"


@dataclass(frozen=True, slots=True, kw_only=True)
class PushEndpoint:
    """One place to tell a user at."""

    id: str
    kind: PushEndpointKind
    url: str
    session_id: str
    p256dh: str | None  # these two are None but for Web Push
    auth: str | None
    secret: str | None  # None but for webhooks

    def __repr__(self) -> str:
        return f"PushEndpoint({self.id})"  # a log line must show neither the address nor the secrets


class PushEndpoints:
    """The endpoints of all users."""

    def __init__(self, database: Database, egress: Egress, vapid: Vapid | None) -> None:
        self._endpoints = database["push_endpoints"]
        self._sessions = database["sessions"]
        self._egress = egress
        self._has_web_push = vapid is not None

    async def register(
        self,
        viewer: Claims,
        *,
        kind: PushEndpointKind,
        url: str,
        p256dh: str | None,
        auth: str | None,
        secret: str | None,
        now: datetime,
    ) -> str:
        """Add an endpoint, and return its id; the same address again replaces what was said of it.

        Raises:
            InvalidInput: something about it is not acceptable.
            Conflict: the user has as many as there may be.
        """
        if kind is PushEndpointKind.WEB_PUSH:
            self._require_web_push_keys(p256dh, auth, secret)
        else:
            _require_secret(p256dh, auth, secret)
        try:
            await self._egress.check(url)
        except RefusedAddressError as refusal:
            raise InvalidInput(str(refusal), _URL) from None
        made = PushEndpoint(
            id=ids.push_endpoint(viewer.user_id, url),
            kind=kind,
            url=url,
            session_id=viewer.session_id,
            p256dh=p256dh,
            auth=auth,
            secret=secret,
        )
        while True:
            document, found = await self._stored(viewer.user_id)
            others = [endpoint for endpoint in await self._living(found, now) if endpoint.id != made.id]
            if len(others) >= MOST:
                raise Conflict(f"You have {MOST} endpoints. Remove one first.")
            if await self._store(viewer.user_id, document, [*others, made]):
                return made.id

    async def remove(self, user_id: str, endpoint_id: str) -> None:
        """Remove an endpoint.

        Raises:
            NotFound: the user has no such endpoint.
        """
        if not await self._drop(user_id, {endpoint_id}):
            raise NotFound("There is no such endpoint.", ("input", "id"))

    async def drop(self, user_id: str, gone: Iterable[PushEndpoint]) -> None:
        """Remove endpoints that are no more; one that was registered anew meanwhile stays."""
        await self._drop(user_id, set(gone))

    async def exist(self) -> bool:
        """Whether anybody has an endpoint."""
        return bool(await self._endpoints.find({}, limit=1))

    async def of_users(self, user_ids: Sequence[str], now: datetime) -> dict[str, list[PushEndpoint]]:
        """Return the endpoints of those of these users who have any whose session lives."""
        found: dict[str, list[PushEndpoint]] = {}
        for batch in batched(user_ids, READ_SIZE, strict=False):
            for user_id, document in (await self._endpoints.find_many(batch)).items():
                found[user_id] = _endpoints(document)
        living = await self._living([endpoint for endpoints in found.values() for endpoint in endpoints], now)
        kept = {endpoint.id for endpoint in living}
        return {
            user_id: mine
            for user_id, endpoints in found.items()
            if (mine := [endpoint for endpoint in endpoints if endpoint.id in kept])
        }

    async def _living(self, endpoints: Sequence[PushEndpoint], now: datetime) -> list[PushEndpoint]:
        sessions: dict[str, Document] = {}
        for batch in batched({endpoint.session_id for endpoint in endpoints}, READ_SIZE, strict=False):
            sessions |= await self._sessions.find_many(batch)
        return [
            endpoint
            for endpoint in endpoints
            if (session := sessions.get(endpoint.session_id))
            and session["revokedAt"] is None
            and session["expiresAt"] > now
        ]

    async def _drop(self, user_id: str, gone: set[str] | set[PushEndpoint]) -> bool:
        """Remove those of these that are stored; return whether there were any."""
        while True:
            document, found = await self._stored(user_id)
            kept = [endpoint for endpoint in found if endpoint.id not in gone and endpoint not in gone]
            if len(kept) == len(found):
                return False
            if await self._store(user_id, document, kept):
                return True

    async def _stored(self, user_id: str) -> tuple[Document | None, list[PushEndpoint]]:
        document = await self._endpoints.find_one({"_id": user_id})
        return document, [] if document is None else _endpoints(document)

    async def _store(self, user_id: str, before: Document | None, endpoints: Sequence[PushEndpoint]) -> bool:
        """Store a user's endpoints unless others were stored meanwhile; return whether there were none."""
        if before is None:
            try:
                await self._endpoints.insert_one(_document(user_id, 1, endpoints))
            except DuplicateKeyError:
                return False
            return True
        same = {"_id": user_id, "version": before["version"]}
        if not endpoints:
            return await self._endpoints.delete_one(same)
        document = _document(user_id, before["version"] + 1, endpoints)
        del document["_id"]
        return await self._endpoints.update_one(same, {"$set": document})

    def _require_web_push_keys(self, p256dh: str | None, auth: str | None, secret: str | None) -> None:
        if not self._has_web_push:
            raise InvalidInput("This server does not send Web Push.", ("input", "kind"))
        if not p256dh or not _is_point(p256dh):
            raise InvalidInput("`p256dh` is the browser's public key, as it says it.", ("input", "p256dh"))
        if not auth or len(_bytes_of(auth)) != 16:
            raise InvalidInput("`auth` is the browser's secret of 16 bytes, as it says it.", ("input", "auth"))
        if secret is not None:
            raise InvalidInput("A Web Push has no `secret`.", _SECRET_PATH)


def _require_secret(p256dh: str | None, auth: str | None, secret: str | None) -> None:
    for name, value in (("p256dh", p256dh), ("auth", auth)):
        if value is not None:
            raise InvalidInput(f"A webhook has no `{name}`.", ("input", name))
    if secret is None or not _SECRET.fullmatch(secret) or len(signing_key(secret)) not in SECRET_BYTES:
        raise InvalidInput(
            f"A webhook's `secret` has {SECRET_BYTES.start} to {SECRET_BYTES.stop - 1} printable characters without "
            f"spaces, or as many bytes in base64 after `{SECRET_PREFIX}`.",
            _SECRET_PATH,
        )


def signing_key(secret: str) -> bytes:
    """Return the key that a webhook's secret stands for; nothing where it is none."""
    if not secret.startswith(SECRET_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        return b""


def _bytes_of(text: str) -> bytes:
    """Return what base64url stands for, with padding or without; nothing where it is none."""
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), b"-_", validate=True)
    except (ValueError, binascii.Error):
        return b""


def _is_point(p256dh: str) -> bool:
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), _bytes_of(p256dh))
    except ValueError:
        return False
    return True


def _document(user_id: str, version: int, endpoints: Sequence[PushEndpoint]) -> Document:
    stored: list[dict[str, Any]] = [asdict(endpoint) | {"kind": endpoint.kind.value} for endpoint in endpoints]
    return {"_id": user_id, "version": version, "endpoints": stored}


def _endpoints(document: Document) -> list[PushEndpoint]:
    return [
        PushEndpoint(**{**endpoint, "kind": PushEndpointKind(endpoint["kind"])}) for endpoint in document["endpoints"]
    ]
