"""A receiver of pushes, as push services, browsers and webhooks are: it believes nothing that it has not verified."""

import base64
import hashlib
import hmac
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
import orjson
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from parley.stack.stack import free_port
from tests.clients import REGISTER_PUSH, Json, Person

# Of a stack whose pushes come here: soon, and to this machine.
PUSH_SETTINGS = {
    "PARLEY_PUSH_AFTER_SECONDS": "1",
    "PARLEY_PUSH_NETWORKS": "127.0.0.0/8",
    "PARLEY_PUSH_INSECURE": "true",
}
CLOCK_SECONDS = 60  # how far a signature's time may be off
DAY_SECONDS = 86_400


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(frozen=True, slots=True)
class Arrival:
    """A push that was found to be genuine."""

    endpoint: str
    at: float  # by the clock of this process
    content: Json
    answer: int

    @property
    def id(self) -> str:
        return str(self.content["id"])


@dataclass(slots=True)
class Device:
    """A browser that subscribed, or a webhook."""

    name: str
    url: str
    key: EllipticCurvePrivateKey | None = None  # None for a webhook
    auth: bytes = b""
    secret: str = ""
    answers: list[int] = field(default_factory=list)  # to what comes next; then 201
    endpoint_id: str = ""

    @property
    def subscription(self) -> Json:
        """What registerPushEndpoint takes."""
        if self.key is None:
            return {"kind": "WEBHOOK", "url": self.url, "secret": self.secret}
        point = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return {"kind": "WEB_PUSH", "url": self.url, "p256dh": _base64url(point), "auth": _base64url(self.auth)}

    def opened(self, body: bytes) -> Json:
        """Return what a Web Push says, which only this browser can read (RFC 8188, RFC 8291)."""
        assert self.key is not None
        salt, record, length = body[:16], int.from_bytes(body[16:20]), body[20]
        theirs, sealed = body[21 : 21 + length], body[21 + length :]
        assert record <= 4096
        assert len(sealed) <= record
        mine = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        shared = self.key.exchange(ECDH(), EllipticCurvePublicKey.from_encoded_point(SECP256R1(), theirs))
        secret = _derived(shared, self.auth, b"WebPush: info\x00" + mine + theirs, 32)
        key = _derived(secret, salt, b"Content-Encoding: aes128gcm\x00", 16)
        nonce = _derived(secret, salt, b"Content-Encoding: nonce\x00", 12)
        text = AESGCM(key).decrypt(nonce, sealed, None).rstrip(b"\x00")
        assert text.endswith(b"\x02")
        content: Json = orjson.loads(text[:-1])
        return content


def webhook_content(headers: Mapping[str, str], body: bytes, secret: str) -> Json:
    """Return what a webhook was sent, having seen that its signature and its id are right (Standard Webhooks)."""
    key = secret.encode()
    if secret.startswith("whsec_"):
        key = base64.b64decode(secret.removeprefix("whsec_"))
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < CLOCK_SECONDS
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    content: Json = orjson.loads(body)
    assert content["id"] == headers["webhook-id"]
    return content


def _derived(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(secret)


class Receiver:
    """Takes pushes for devices; what is wrong with any is in `faults`."""

    def __init__(self) -> None:
        self.port = free_port()
        self.arrivals: list[Arrival] = []
        self.faults: list[str] = []
        self.public_key: str | None = None  # that pushes are to be sent under; None: whichever
        self.before_answer: Callable[[], Awaitable[None]] | None = None  # called once, with the next push
        self._devices: dict[str, Device] = {}

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Receiver"]:
        app = web.Application()
        app.router.add_post("/{name}", self._take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            yield self
        finally:
            await runner.cleanup()

    async def browser(self, person: Person, *answers: int) -> Device:
        """Have somebody told at a browser."""
        name = secrets.token_hex(8)
        key, auth = generate_private_key(SECP256R1()), secrets.token_bytes(16)
        return await self._register(person, Device(name, f"{self.origin}/{name}", key, auth, answers=list(answers)))

    async def webhook(self, person: Person, *answers: int, secret: str = "") -> Device:
        """Have somebody told at a webhook."""
        name = secrets.token_hex(8)
        secret = secret or "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
        return await self._register(person, Device(name, f"{self.origin}/{name}", secret=secret, answers=list(answers)))

    async def _register(self, person: Person, device: Device) -> Device:
        self._devices[device.name] = device
        payload = await person.mutate(REGISTER_PUSH, **device.subscription)
        assert payload["userErrors"] == [], payload
        device.endpoint_id = payload["id"]
        return device

    def of(self, device: Device) -> list[Arrival]:
        """Return what came to a device."""
        return [arrival for arrival in self.arrivals if arrival.endpoint == device.name]

    def counts(self) -> dict[tuple[str, str], Counter[str]]:
        """Return how often which id came, by user and message."""
        found: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for arrival in self.arrivals:
            found[arrival.content["userId"], arrival.content["messageId"]][arrival.id] += 1
        return found

    async def _take(self, request: web.Request) -> web.Response:
        device, body = self._devices[request.match_info["name"]], await request.read()
        try:
            content = self._verified(device, request, body)
        except Exception as error:  # noqa: BLE001  # whatever is wrong with it, the test has to hear of it
            self.faults.append(f"{device.subscription['kind']}: {error!r}")
            return web.Response(status=400)
        answer = device.answers.pop(0) if device.answers else 201
        self.arrivals.append(Arrival(device.name, time.monotonic(), content, answer))
        if self.before_answer is not None:
            act, self.before_answer = self.before_answer, None
            await act()
        return web.Response(status=answer)

    def _verified(self, device: Device, request: web.Request, body: bytes) -> Json:
        headers = request.headers
        if device.key is None:
            return webhook_content(headers, body, device.secret)
        scheme, _, credentials = headers["authorization"].partition(" ")
        parts = dict(part.strip().split("=", 1) for part in credentials.split(","))
        assert scheme == "vapid"
        assert self.public_key in {None, parts["k"]}
        public = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), _bytes(parts["k"]))
        claims: dict[str, Any] = jwt.decode(parts["t"], public, ["ES256"], audience=self.origin)
        assert time.time() < claims["exp"] <= time.time() + DAY_SECONDS
        assert claims["sub"].startswith("mailto:")
        assert headers["content-encoding"] == "aes128gcm"
        assert int(headers["ttl"]) > 0
        return device.opened(body)
