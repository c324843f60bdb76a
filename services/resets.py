"""One-time links that let somebody who lost the password choose another; only digests of their tokens are stored."""

import hashlib
import secrets
from datetime import datetime, timedelta

from services.mongo import Collection, Database

_LIFE = timedelta(hours=1)


class Resets:
    """The tokens in reset links, each good for one user, once."""

    def __init__(self, database: Database) -> None:
        self._resets: Collection = database["resets"]

    async def create(self, user_id: str, now: datetime) -> str:
        """Return a new token for this user."""
        token = secrets.token_urlsafe(32)
        await self._resets.insert_one(
            {"_id": _digest(token), "user": user_id, "expiresAt": now + _LIFE, "usedAt": None}
        )
        return token

    async def user_id(self, token: str, now: datetime) -> str | None:
        """Return whose password the token may set, or None if it is not good, or not any more."""
        document = await self._resets.find_one({"_id": _digest(token)})
        if document is None or document["usedAt"] is not None or now >= document["expiresAt"]:
            return None
        return str(document["user"])

    async def use(self, token: str, now: datetime) -> bool:
        """Use the token up; return whether it was good until now, which only one caller is ever told."""
        return await self._resets.update_one(
            {"_id": _digest(token), "usedAt": None, "expiresAt": {"$gt": now}}, {"$set": {"usedAt": now}}
        )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
