"""Whom requests come from: forged headers change nothing."""

from ipaddress import ip_network

import pytest

from parley.addresses import client
from parley.requests import origin

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),  # no proxy of ours
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),  # the first was the client's own word
        ("10.0.0.1", ["198.51.100.1", "203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["203.0.113.9, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.1", ["[2001:db8:1:2:3::4]:4711"], "2001:db8:1:2::/64"),
        ("fd00::1", ["2001:db8:1:2:ffff::4"], "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
        ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("10.0.0.1", [""], "10.0.0.1"),
        (None, ["203.0.113.9"], "unknown"),
    ],
)
def test_an_address_is_the_last_that_a_trusted_proxy_vouches_for(
    peer: str | None, forwarded: list[str], expected: str
) -> None:
    assert client(peer, forwarded, PROXIES) == expected


@pytest.mark.parametrize(
    "given", [None, "short", "x" * 65, "with space", "line\nbreak", 'quo"ted-name', "ünïcödé-name"]
)
def test_a_name_that_is_none_is_replaced(given: str | None) -> None:
    assert origin("10.0.0.1", (), given, PROXIES).request_id != given


def test_a_name_is_taken_from_a_trusted_proxy_only() -> None:
    assert origin("10.0.0.1", (), "the-request", PROXIES).request_id == "the-request"
    assert origin("192.0.2.1", (), "the-request", PROXIES).request_id != "the-request"
