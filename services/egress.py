"""Requests to addresses that users have named: to public hosts only, without redirects, within a time and a size.

A name may mean another host tomorrow than when it was registered. So what counts is the address that a socket is about
to connect to: it is checked where the socket is made, and it is the address that the connection then uses.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final, Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver

from services.content import is_web_address

RESOLVE_SECONDS: Final = 3.0
CONNECT_SECONDS: Final = 5.0
WHOLE_SECONDS: Final = 10.0  # of a request, from the name to the end of the answer
ANSWER_BYTES: Final = 4_096  # that are read of an answer, so that its connection can be used again; it is not looked at
CONNECTIONS: Final = 64
CONNECTIONS_OF_HOST: Final = 32
FAILURES: Final = (aiohttp.ClientError, OSError, TimeoutError, ValueError)

# Public by their number, but answered by the machine that asks from a cloud: Azure's platform.
_PLATFORMS: Final = frozenset({ip_address("168.63.129.16")})
_NAT64: Final = IPv6Network("64:ff9b::/96")

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network


class RefusedAddressError(Exception):
    """Nothing is sent there; the text says why, for whoever named it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    retry_after_seconds: float  # 0 where the answer does not say


class Egress:
    """The way out."""

    def __init__(
        self, *, networks: Sequence[Network] = (), allows_http: bool = False, resolver: AbstractResolver | None = None
    ) -> None:
        """Prepare.

        Args:
            networks: Where hosts may be besides the public ones.
            allows_http: Whether `http` is good enough.
            resolver: Finds the addresses of names; None: the system's.
        """
        self._networks = tuple(networks)
        self._schemes = ("https", "http") if allows_http else ("https",)
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None  # None but while it runs

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Keep connections until this ends; only `post` needs that."""
        connector = aiohttp.TCPConnector(
            limit=CONNECTIONS,
            limit_per_host=CONNECTIONS_OF_HOST,
            use_dns_cache=False,
            resolver=self._resolver,
            socket_factory=self._socket,
        )
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=WHOLE_SECONDS, connect=CONNECT_SECONDS),
            auto_decompress=False,
            trust_env=False,
        ) as self._session:
            yield self
        self._session = None

    async def check(self, url: str) -> None:
        """See whether anything would be sent to an address, as of now.

        Raises:
            RefusedAddressError: it would not.
        """
        if not is_web_address(url, self._schemes) or "#" in url:
            raise RefusedAddressError("An endpoint is an https address without a user, a password or a fragment.")
        host = urlsplit(url).hostname
        assert host is not None  # a web address has one
        try:
            async with asyncio.timeout(RESOLVE_SECONDS):
                found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError, UnicodeError):
            raise RefusedAddressError("There is no such host.") from None
        if not all(self.allows(str(address[4][0])) for address in found):
            raise RefusedAddressError("An endpoint is on a public host.")

    def allows(self, address: str) -> bool:
        """Whether a host with this address may be connected to."""
        found = ip_address(address.partition("%")[0])
        if any(found in network for network in self._networks):
            return True
        return all(_is_public(each) for each in (found, *_inner(found)))

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send something and return how it was answered.

        Raises:
            ClientError, OSError, TimeoutError, ValueError: it was not answered, or the address is a refused one.
        """
        assert self._session is not None, "not running"
        if urlsplit(url).scheme not in self._schemes:
            raise OSError("the scheme is refused")
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            await response.content.read(ANSWER_BYTES)  # what goes beyond it closes the connection
            return Answer(response.status, _seconds(response.headers.get("Retry-After")))

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, place = address
        if not self.allows(str(place[0])):
            raise OSError("the address is refused")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made


def _is_public(address: Address) -> bool:
    return (
        address.is_global
        and not (address.is_multicast or address.is_reserved or getattr(address, "is_site_local", False))
        and address not in _PLATFORMS
    )


def _inner(address: Address) -> list[Address]:
    """Return the IPv4 addresses that an IPv6 address leads to."""
    if isinstance(address, IPv4Address):
        return []
    inner: list[Address] = [found for found in (address.ipv4_mapped, address.sixtofour) if found is not None]
    inner += address.teredo or ()
    if address in _NAT64:
        inner.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return inner


def _seconds(header: str | None) -> float:
    return float(header) if header is not None and header.isascii() and header.isdigit() else 0.0
