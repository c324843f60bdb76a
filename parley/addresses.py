"""Who a request comes from, as far as that can be believed."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

type Networks = Sequence[IPv4Network | IPv6Network]

UNKNOWN: Final = "unknown"  # of a local socket's peer
IPV6_BITS: Final = 64  # what one household has; whoever could count as many as it has addresses has no limit


def is_trusted(peer: str | None, proxies: Networks) -> bool:
    """Whether what the peer says of others is believed."""
    address = _address(peer)
    return address is not None and any(address in network for network in proxies)


def client(peer: str | None, forwarded_for: Iterable[str], proxies: Networks) -> str:
    """Return the name under which a client's requests count.

    Of the addresses in `X-Forwarded-For` each was added by whoever is named after it: they are believed from the end,
    up to the first that is no proxy of ours.
    """
    found = _address(peer)
    if is_trusted(peer, proxies):
        for name in reversed([name.strip() for line in forwarded_for for name in line.split(",")]):
            address = _address(name)
            if address is None:
                break
            found = address
            if not is_trusted(name, proxies):
                break
    if found is None:
        return UNKNOWN
    if isinstance(found, IPv6Address):
        return str(ip_network((found, IPV6_BITS), strict=False))
    return str(found)


@lru_cache(4_096)
def _address(text: str | None) -> IPv4Address | IPv6Address | None:
    """Return an address, without a port that proxies may add; None where it is none."""
    if not text:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
