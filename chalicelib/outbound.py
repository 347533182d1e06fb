"""Where Carillon connects to at the wish of its users: never to itself, to its platform, or to what a name leads to
unseen.

A name is resolved once, every address that it has is checked, and the connection goes to a checked address, so a name
that changes its mind in between changes nothing. After connecting, the address at the other end is checked again. The
stage's `CARILLON_ALLOWED_NETWORKS` are exceptions.

Sources may be in private networks: that is where databases are. What users send HTTP to may not (`private=False`).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator

from chalicelib.errors import AddressRefused
from chalicelib.settings import Networks, settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# A name may have many addresses; so many are tried.
MOST_ADDRESSES = 4

_PRIVATE = tuple(
    ipaddress.ip_network(each)
    for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
# What clouds keep at addresses that look like those of others: metadata, credentials, agents. 169.254.0.0/16 is
# refused as link-local.
_PLATFORM = tuple(
    ipaddress.ip_network(each) for each in ("fd00:ec2::/32", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.0/24")
)
# Addresses of IPv6 that stand for one of IPv4: its last 32 bits.
_TRANSLATED = tuple(ipaddress.ip_network(each) for each in ("64:ff9b::/96", "::ffff:0:0/96"))
# The rest of IPv6 that is in use; 6to4 and Teredo in it lead to any address of IPv4.
_UNICAST = ipaddress.ip_network("2000::/3")
_TUNNELS = tuple(ipaddress.ip_network(each) for each in ("2002::/16", "2001::/32"))

_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?", re.ASCII)
# What the C library takes for an address of IPv4: one to four numbers, decimal, octal or hexadecimal.
_NUMBERS = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+)){0,3}\.?", re.ASCII | re.IGNORECASE)


def accept_host(host: str, *, private: bool) -> str:
    """The host's name or address as users may write it. `ValueError` says what is wrong with it."""
    address = _literal(host)
    if address is not None:
        if not allowed(address, private=private):
            raise ValueError("the stage does not allow connections to this address")
        return host
    if _NUMBERS.fullmatch(host):
        raise ValueError("an address of IPv4 is written as four decimal numbers, such as 10.0.0.5")
    if not _NAME.fullmatch(host):
        raise ValueError("a host is a name such as db.example.com, or an IP address")
    return host


def addresses(host: str, port: int, *, private: bool) -> list[str]:
    """The addresses of a host that may be connected to, a few. Raises `AddressRefused` when one of them may not, and
    `OSError` when the name has none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    texts = list(dict.fromkeys(str(address[0]) for *_, address in found))
    for text in texts:
        check(text, host=host, private=private)
    return texts[:MOST_ADDRESSES]


def check(address: str, *, host: str, private: bool) -> None:
    """Raise `AddressRefused` for an address of `host` that may not be connected to, and does not give it away."""
    parsed = _literal(address)
    if parsed is None or not allowed(parsed, private=private):
        raise AddressRefused(f"The stage does not allow connections to the address of {host}.", field="settings.host")


def allowed(address: Address, *, private: bool) -> bool:
    """Whether the stage may connect to an address, and to each that it stands for."""
    return all(_excepted(each) or _ordinary(each, private=private) for each in _meant(address))


def _meant(address: Address) -> Iterator[Address]:
    """The address that packets go to: an address of IPv6 may stand for one of IPv4."""
    if isinstance(address, ipaddress.IPv6Address):
        if any(address in network for network in _TRANSLATED):
            yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
            return
        if address.scope_id is not None:
            address = ipaddress.IPv6Address(int(address))
    yield address


def _excepted(address: Address) -> bool:
    networks: Networks = settings().allowed_networks
    return any(address in network for network in networks)


def _ordinary(address: Address, *, private: bool) -> bool:
    if any(address in network for network in (*_PLATFORM, *_TUNNELS)) or address.is_multicast:
        return False
    if any(address in network for network in _PRIVATE):
        return private
    return address.is_global and (address.version == 4 or address in _UNICAST)


def _literal(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
