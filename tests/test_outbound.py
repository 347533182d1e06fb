"""Where Carillon connects to, and where not, however it is written."""

from __future__ import annotations

import socket
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from chalicelib import outbound, settings
from chalicelib.errors import AddressRefused

REFUSED = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "169.254.169.254", "169.254.170.2", "169.254.0.1", "224.0.0.1", "240.0.0.1",
    "255.255.255.255", "198.18.0.1", "192.0.2.1", "192.0.0.192", "100.100.100.200", "168.63.129.16",
    "::1", "::", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "fd00:ec2::254", "fd00:ec2::23", "2001:db8::1",
    # IPv4 in the clothes of IPv6: mapped, translated, compatible, 6to4, Teredo.
    "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe",
    "::127.0.0.1", "::169.254.169.254", "2002:7f00:1::1", "2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]  # fmt: skip
PRIVATE = [
    "10.0.0.5", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fd12:3456::1", "::ffff:10.0.0.5",
    "64:ff9b::a00:5",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "52.95.110.1", "172.32.0.1", "2600:1f18::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.fixture(autouse=True)
def _no_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch)


def allow(monkeypatch: pytest.MonkeyPatch, *networks: str) -> None:
    found = settings.Settings(allowed_networks=tuple(ip_network(each) for each in networks))
    monkeypatch.setattr(outbound, "settings", lambda: found)


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Every name has these addresses."""

    def getaddrinfo(host: str, port: int, *rest: Any, **more: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_of_the_machine_or_its_platform_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for private in (True, False):
        assert not outbound.allowed(ip_address(address), private=private)
        resolve(monkeypatch, "8.8.8.8", address)
        with pytest.raises(AddressRefused) as refused:
            outbound.addresses("db.example", 5432, private=private)
        assert address not in refused.value.message, "a name's address is not given away"
        with pytest.raises(ValueError, match="does not allow"):
            outbound.accept_host(address, private=private)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_for_sources_only(address: str) -> None:
    assert outbound.allowed(ip_address(address), private=True)
    assert not outbound.allowed(ip_address(address), private=False)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_for_all(address: str) -> None:
    assert outbound.allowed(ip_address(address), private=True)
    assert outbound.allowed(ip_address(address), private=False)
    assert outbound.accept_host(address, private=False) == address


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "0x7f.1", "0X7F.0.0.1", "127.1", "127.0.1", "0177.0.0.1", "127.0.0.01",
     "0", "1.", "0x",
     "127.0.0.1.", "4294967295"],
)  # fmt: skip
def test_an_address_in_another_form_is_refused_as_it_is_written(host: str) -> None:
    with pytest.raises(ValueError, match="four decimal numbers"):
        outbound.accept_host(host, private=True)


@pytest.mark.parametrize(
    "host",
    ["a b", "a/b", "a@b", "a,b", "", ".", "-a", "a\x00b", "a\nb", "ünïcode", "１２７.0.0.1", "[::1]", "fe80::1%"],
)
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="a host is a name"):
        outbound.accept_host(host, private=True)


@pytest.mark.parametrize(
    "host", ["db", "db.example.com", "db.example.com.", "my_db-1.eu.rds", "10.example", "0x7f.example"]
)
def test_a_name_is_taken(host: str) -> None:
    assert outbound.accept_host(host, private=True) == host


def test_a_name_in_disguise_is_found_out_by_its_address() -> None:
    """The C library reads all of these as 127.0.0.1; none reaches it as it stands."""
    for host in ("2130706433", "0x7f.1", "127.1", "localhost"):
        with pytest.raises(AddressRefused):
            outbound.addresses(host, 5432, private=True)


def test_the_stage_allows_exceptions(monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, "127.0.0.0/8", "fe80::/10")
    resolve(monkeypatch, "127.0.0.1", "fe80::1%eth0")
    assert outbound.addresses("localhost", 5432, private=False) == ["127.0.0.1", "fe80::1%eth0"]
    assert outbound.allowed(ip_address("::ffff:127.0.0.1"), private=False)
    assert not outbound.allowed(ip_address("::1"), private=True)


def test_few_of_many_addresses_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, *(f"10.0.0.{number}" for number in range(20)), "10.0.0.1")
    assert len(outbound.addresses("db.example", 5432, private=True)) == outbound.MOST_ADDRESSES


def test_a_network_that_is_none_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    settings.settings.cache_clear()
    monkeypatch.setenv("CARILLON_ALLOWED_NETWORKS", "10.0.0.0/8, everywhere")
    with pytest.raises(ValueError, match="CARILLON_ALLOWED_NETWORKS must be networks"):
        settings.settings()
    settings.settings.cache_clear()
