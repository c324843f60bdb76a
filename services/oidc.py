"""Tokens of an external OpenID Connect issuer: its keys are discovered, and asked for again after a while.

It says who somebody is at the issuer, and nothing of accounts here.
"""

import asyncio
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, override
from urllib.parse import urlsplit

import jwt
import orjson
import structlog
from jwt.types import Options

from services.errors import InvalidCredentials, Unavailable
from services.failures import described

KEYS_SECONDS: Final = 600.0  # how long keys are believed: a key that the issuer takes back counts no longer than that
ANEW_SECONDS: Final = 10.0  # between two questions because of keys that nobody knows, which anybody can name
ANSWER_SECONDS: Final = 5.0  # that the issuer has for each of the two documents
_LARGEST: Final = 256 * 1024  # bytes of a document
_LONGEST_TOKEN: Final = 16 * 1024
_LONGEST_SUBJECT: Final = 255
_SKEW: Final = timedelta(seconds=30)  # that the issuer's clock may be apart
# Only those whose key is public; none of them can be mistaken for one that signs with what is published.
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_KEY_TYPES: Final = frozenset({"RSA", "EC", "OKP"})

_logger = structlog.get_logger()

type Keys = dict[str | None, jwt.PyJWK]  # by key id; None for a key that has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody as the issuer knows them."""

    issuer: str
    subject: str
    preferred_username: str | None  # None where the issuer says none, as the name
    name: str | None


class Issuer:
    """One issuer, and the client that its tokens must be for."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        read: Callable[[str], Awaitable[Any]] | None = None,
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._read = read or _document
        self._keys: Keys = {}
        self._read_at = -KEYS_SECONDS  # when the keys were asked for last, by the clock
        self._asked_at = -KEYS_SECONDS  # when that was tried last
        self._asking = asyncio.Lock()

    async def verify(self, token: str, now: datetime) -> Person:
        """Return whom a token is about.

        Raises:
            InvalidCredentials: it is not one of this issuer for this client, or not any more.
            Unavailable: the issuer does not say which keys are its own.
        """
        try:
            return await self._verified(token, now)
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, RecursionError):
            # What exactly is wrong is of no use to an honest caller.
            raise InvalidCredentials("The token is not valid here.", ("input", "idToken")) from None

    async def _verified(self, token: str, now: datetime) -> Person:
        if len(token) > _LONGEST_TOKEN:
            raise ValueError("too long")
        header = jwt.get_unverified_header(token)
        if header["alg"] not in _ALGORITHMS:
            raise ValueError("no algorithm of ours")
        key = await self._key(header.get("kid"))
        # The times are compared with the caller's `now`, not with the library's.
        options: Options = {
            "verify_exp": False,
            "verify_iat": False,
            "verify_nbf": False,
            "require": ["iss", "sub", "aud", "exp", "iat"],
        }
        claims = jwt.decode(token, key, _ALGORITHMS, options, audience=self._audience, issuer=self._issuer)
        time_, skew = now.timestamp(), _SKEW.total_seconds()
        if not claims["iat"] - skew <= time_ < claims["exp"] + skew or claims.get("nbf", 0) - skew > time_:
            raise ValueError("not now")
        if claims.get("azp", self._audience) != self._audience:
            raise ValueError("given to another client")
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
            raise ValueError("about nobody")
        return Person(
            issuer=self._issuer,
            subject=subject,
            preferred_username=_text(claims.get("preferred_username")),
            name=_text(claims.get("name")),
        )

    async def _key(self, key_id: object) -> jwt.PyJWK:
        """Return a key; one that is not known may be new."""
        if key_id is not None and not isinstance(key_id, str):
            raise TypeError("no id")
        async with self._asking:
            present = self._clock()
            is_old = present - self._read_at >= KEYS_SECONDS
            if is_old or (key_id not in self._keys and present - self._asked_at >= ANEW_SECONDS):
                await self._ask(present, is_needed=is_old)
        return self._keys[key_id]

    async def _ask(self, present: float, *, is_needed: bool) -> None:
        self._asked_at = present
        try:
            self._keys = await self._discovered()
        except (OSError, http.client.HTTPException, KeyError, TypeError, ValueError) as error:
            _logger.warning("oidc.no_keys", error=described(error))
            if is_needed:
                raise Unavailable("The issuer cannot be asked now. Try again.", retry_after_ms=5_000) from None
        else:
            self._read_at = present

    async def _discovered(self) -> Keys:
        """Return the keys that the issuer lists now."""
        found = await self._read(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        if found["issuer"] != self._issuer:
            raise ValueError("it is another issuer")
        address = found["jwks_uri"]
        if urlsplit(address).scheme not in {"https", urlsplit(self._issuer).scheme}:
            raise ValueError("its keys are not behind TLS")
        return _keys((await self._read(address))["keys"])


def _keys(documents: list[dict[str, Any]]) -> Keys:
    """Return the public keys for signatures; others are left out."""
    keys: Keys = {}
    for document in documents:
        if document.get("kty") not in _KEY_TYPES or document.get("use", "sig") != "sig":
            continue
        try:
            keys[document.get("kid")] = jwt.PyJWK(document)
        except jwt.PyJWTError:
            continue  # of a kind that we do not know
    return keys


async def _document(address: str) -> Any:
    return await asyncio.to_thread(_fetch, address)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    @override
    def redirect_request(self, *_: Any) -> None:
        return None


def _fetch(address: str) -> Any:
    """Return the JSON document at an address that the operator, or the issuer, has named."""
    opener = urllib.request.build_opener(_NoRedirects)
    request = urllib.request.Request(address, headers={"accept": "application/json"})  # noqa: S310  # checked before
    try:
        with opener.open(request, timeout=ANSWER_SECONDS) as answer:
            content = answer.read(_LARGEST + 1)
    except urllib.error.HTTPError as refusal:
        refusal.close()  # it holds the connection
        raise
    if len(content) > _LARGEST:
        raise ValueError("too large")
    return orjson.loads(content)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
