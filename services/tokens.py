"""Access tokens: signed here, verified without asking anybody; whether the session still lives they never say."""

import base64
import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from jwt.types import Options

from services.config import Settings
from services.errors import Forbidden, TokenExpired, Unauthenticated
from services.key_files import make_key
from services.users import Role

_ALGORITHM = "EdDSA"
_ISSUER = "parley"
_MAX_LENGTH = 2_048  # characters; ours have about 400
_KEPT = 4_096  # tokens that were verified; to verify a signature costs as much as answering a small query
_CLOCK_SKEW_SECONDS = 5  # how far ahead another instance's clock may be


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a valid access token says."""

    user_id: str
    session_id: str
    roles: frozenset[Role]
    expires_at: datetime

    @property
    def is_operator(self) -> bool:
        """Whether the caller operates this Parley."""
        return bool(self.roles & {Role.OPERATOR, Role.ADMIN})

    def require_operator(self) -> None:
        """Refuse whoever does not operate this Parley.

        Raises:
            Forbidden: the caller has another role.
        """
        if not self.is_operator:
            raise Forbidden("Only operators may do this.")


class Tokens:
    """One key that signs, and several that may have signed."""

    def __init__(
        self,
        *,
        signing_key: Ed25519PrivateKey,
        verification_keys: Iterable[Ed25519PublicKey] = (),
        life_seconds: int,
    ) -> None:
        self._signing_key = signing_key
        self._signing_key_id = _key_id(signing_key.public_key())
        self._keys = {_key_id(key): key for key in (signing_key.public_key(), *verification_keys)}
        self._life_seconds = life_seconds
        self._verified_claims: dict[str, Claims] = {}  # by token, the oldest first

    def issue(self, *, user_id: str, session_id: str, roles: Iterable[Role], now: datetime) -> tuple[str, datetime]:
        """Return a new access token and when it expires."""
        expires_at = self.expires_at(now)
        claims = {
            "iss": _ISSUER,
            "sub": user_id,
            "sid": session_id,
            "roles": sorted(roles),
            "iat": math.floor(now.timestamp()),
            "exp": int(expires_at.timestamp()),
        }
        token = jwt.encode(claims, self._signing_key, _ALGORITHM, headers={"kid": self._signing_key_id})
        return token, expires_at

    def expires_at(self, now: datetime) -> datetime:
        """Return when a token expires that is issued now."""
        return datetime.fromtimestamp(math.ceil(now.timestamp()) + self._life_seconds, UTC)

    def verify(self, token: str, now: datetime) -> Claims:
        """Return what a token says.

        Raises:
            TokenExpired: it was valid until its time was over.
            Unauthenticated: anything else is wrong with it.
        """
        result = self._verified_claims.get(token)
        if result is None:
            result = self._claims(token, now)
            if len(self._verified_claims) >= _KEPT:
                del self._verified_claims[next(iter(self._verified_claims))]
            self._verified_claims[token] = result
        if now >= result.expires_at:
            raise TokenExpired("The access token has expired.")
        return result

    def _claims(self, token: str, now: datetime) -> Claims:
        """Return what a token says that is signed by one of the keys. Raises as `verify`, but for its time."""
        try:
            claims = self._verified(token, now)
            return Claims(
                user_id=claims["sub"],
                session_id=claims["sid"],
                roles=frozenset(map(Role, claims["roles"])),
                expires_at=datetime.fromtimestamp(claims["exp"], UTC),
            )
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, RecursionError):
            # What exactly is wrong is of no use to an honest caller.
            raise Unauthenticated("The access token is not valid.") from None

    def jwks(self) -> dict[str, object]:
        """Return the public keys as a JSON Web Key Set."""
        return {
            "keys": [
                {**_public_members(key), "kid": key_id, "use": "sig", "alg": _ALGORITHM}
                for key_id, key in self._keys.items()
            ]
        }

    def _verified(self, token: str, now: datetime) -> dict[str, Any]:
        if len(token) > _MAX_LENGTH:
            raise ValueError("too long")
        key = self._keys[jwt.get_unverified_header(token)["kid"]]
        # The times are compared with the caller's `now`, not with the library's.
        options: Options = {"verify_exp": False, "verify_iat": False}
        claims = jwt.decode(token, key, [_ALGORITHM], options, issuer=_ISSUER)
        if claims["iat"] > now.timestamp() + _CLOCK_SKEW_SECONDS:
            raise ValueError("from the future")
        return claims


def open_tokens(settings: Settings) -> Tokens:
    """Read the keys, and on the embedded stack make the signing key where there is none.

    Raises:
        ValueError: outside the embedded stack none was named, or what was named is no key.
    """
    path = settings.signing_key_file
    if path is None:
        if not settings.embedded:
            raise ValueError("PARLEY_SIGNING_KEY_FILE must name the Ed25519 key that signs access tokens")
        assert settings.data is not None  # the settings have seen to it
        path = settings.data / "keys" / "ed25519.pem"
        make_key(path, Ed25519PrivateKey.generate)
    return Tokens(
        signing_key=_private_key(path),
        verification_keys=map(_public_key, settings.verification_key_files),
        life_seconds=settings.access_token_seconds,
    )


def _private_key(path: Path) -> Ed25519PrivateKey:
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path} holds no Ed25519 private key")  # noqa: TRY004 — it is about the file
    return key


def _public_key(path: Path) -> Ed25519PublicKey:
    key = load_pem_public_key(path.read_bytes())
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"{path} holds no Ed25519 public key")  # noqa: TRY004 — it is about the file
    return key


def _public_members(key: Ed25519PublicKey) -> dict[str, str]:
    return {"crv": "Ed25519", "kty": "OKP", "x": _base64url(key.public_bytes(Encoding.Raw, PublicFormat.Raw))}


def _key_id(key: Ed25519PublicKey) -> str:
    """Return the key's thumbprint after RFC 7638: the digest of its members in order, without spaces."""
    members = json.dumps(_public_members(key), sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(members.encode()).digest())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
