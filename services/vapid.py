"""Who sends a Web Push: a P-256 key that push services and browsers know this deployment by (RFC 8292)."""

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from webpush import WebPush, WebPushSubscription

from services.config import Settings
from services.key_files import make_key

LIFE: Final = timedelta(hours=12)  # of a token; push services refuse more than 24 hours
KEEP_SECONDS: Final = 86_400  # for which a push service keeps what it cannot bring to a device
ORIGINS: Final = 1_000  # whose tokens are remembered


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a browser says of where and how to push to it."""

    url: str
    p256dh: str  # base64url, its public key
    auth: str  # base64url, a secret of it and ours


class Vapid:
    """The key, and what is signed with it."""

    def __init__(self, key: EllipticCurvePrivateKey, contact: str) -> None:
        self._key = key
        self._contact = contact
        self._headers: dict[str, tuple[datetime, str]] = {}  # by origin, with the end of the token
        public = key.public_key()
        point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.public_key = base64.urlsafe_b64encode(point).rstrip(b"=").decode()  # as browsers take it
        self._web_push = WebPush(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            subscriber=contact,
            ttl=KEEP_SECONDS,
        )

    def request(self, subscription: Subscription, payload: bytes, now: datetime) -> tuple[dict[str, str], bytes]:
        """Return the headers and the body that push a payload to a browser; only the browser can read it.

        Raises:
            ValueError: the browser's keys are none.
        """
        keys = {"p256dh": subscription.p256dh, "auth": subscription.auth}
        made = self._web_push.get(
            payload, WebPushSubscription.model_validate({"endpoint": subscription.url, "keys": keys})
        )
        headers = {
            "content-encoding": "aes128gcm",
            "content-type": "application/octet-stream",
            "ttl": str(KEEP_SECONDS),
            "urgency": "high",
            # The library's token leaves the port out of its audience.
            "authorization": self._authorization(subscription.url, now),
        }
        return headers, made.encrypted

    def _authorization(self, url: str, now: datetime) -> str:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        until, header = self._headers.get(origin, (now, ""))
        if until - now < LIFE / 2:
            until = now + LIFE
            claims = {"aud": origin, "exp": int(until.timestamp()), "sub": self._contact}
            header = f"vapid t={jwt.encode(claims, self._key, 'ES256')}, k={self.public_key}"
            if len(self._headers) >= ORIGINS:
                self._headers.clear()
            self._headers[origin] = until, header
        return header


def open_vapid(settings: Settings) -> Vapid | None:
    """Read the key, and on the embedded stack make it where there is none; None where there is to be no Web Push.

    Raises:
        ValueError: what was named is no key.
    """
    path = settings.push_key_file
    if path is None:
        if not settings.embedded:
            return None
        assert settings.data is not None  # the settings have seen to it
        path = settings.data / "keys" / "vapid.pem"
        make_key(path, lambda: generate_private_key(SECP256R1()))
    return Vapid(_private_key(path), settings.push_contact)


def _private_key(path: Path) -> EllipticCurvePrivateKey:
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise ValueError(f"{path} holds no P-256 private key")  # noqa: TRY004 — it is about the file
    return key
