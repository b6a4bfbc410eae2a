# SPDX-License-Identifier: Apache-2.0
"""Whose connection it is: what balancers (PROXY) and filters (XCLIENT) say is believed from those that are named."""
import re
import socket
import struct

import pytest

from cluster import Network, wait_until
from raw import Raw
from scripted import LONGEST_WAIT_S, PEER_PORTS

CONTENT = b"Subject: x\r\n\r\nbody\r\n.\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n"


@pytest.fixture
def stage(reusing_cluster):
    yield reusing_cluster
    for backend in reusing_cluster.backends.values():
        backend.lmtp.forget()


@pytest.fixture
def fe1(stage):
    return stage.frontends["fe1"]


@pytest.fixture
def account(stage):
    return stage.accounts_of("sv1")[0]


def connect(frontend, kind):
    return Raw(frontend.address, PEER_PORTS[kind], seconds=LONGEST_WAIT_S)


def version_2(client, server, port, command=1):
    is_6 = ":" in client
    family = socket.AF_INET6 if is_6 else socket.AF_INET
    addresses = socket.inet_pton(family, client) + socket.inet_pton(family, server) + struct.pack("!HH", port, 25)
    return V2 + bytes([0x20 | command, 0x21 if is_6 else 0x11]) + struct.pack("!H", len(addresses)) + addresses


def send(raw, account):
    assert raw.ask_smtp(b"EHLO client.example.com").startswith(b"250")
    assert raw.ask_smtp(b"MAIL FROM:<a@example.com>").startswith(b"250")
    assert raw.ask_smtp(f"RCPT TO:<{account.address}>".encode()).startswith(b"250")
    assert raw.ask_smtp(b"DATA").startswith(b"354")
    raw.send(CONTENT)
    assert raw.reply().startswith(b"250")


def received_from(stage):
    """The first trace field of the newest message that came to sv1."""
    content = stage.backends["sv1"].lmtp.messages[-1].content
    return re.match(rb"Received: [^\r]*(?:\r\n[ \t][^\r]*)*", content)[0].decode()


HEADERS = {
    "version 1": (b"PROXY TCP4 192.0.2.7 203.0.113.1 4711 25\r\n", "192.0.2.7"),
    "version 1, IPv6": (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 25\r\n", "2001:db8::7"),
    "version 1, unknown": (b"PROXY UNKNOWN\r\n", None),
    "version 2": (version_2("192.0.2.8", "203.0.113.1", 4712), "192.0.2.8"),
    "version 2, IPv6": (version_2("2001:db8::8", "2001:db8::1", 4712), "2001:db8::8"),
    "version 2, local": (version_2("192.0.2.9", "203.0.113.1", 4713, 0), None),
}


@pytest.mark.parametrize("header, address", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("is_split", [False, True], ids=["whole", "byte by byte"])
def test_a_balancers_header_says_whose_connection_it_is(stage, fe1, account, header, address, is_split):
    with connect(fe1, "proxied") as raw:
        for piece in ([bytes([octet]) for octet in header] if is_split else [header]):
            raw.send(piece)
        assert raw.reply().startswith(b"220")
        send(raw, account)
        own = raw.socket.getsockname()[0]
    assert f"[{'IPv6:' if address and ':' in address else ''}{address or own}]" in received_from(stage)


BAD_HEADERS = {
    "none": b"EHLO client.example.com\r\n",
    "cut off": b"PROXY TCP4 192.0.2.7\r\n",
    "no address": b"PROXY TCP4 evil 203.0.113.1 1 25\r\n",
    "a bare LF": b"PROXY TCP4 192.0.2.7 203.0.113.1 4711 25\n",
    "endless": b"PROXY " + b"x" * 200,
    "of version 3": V2 + b"\x31\x11\0\x0c" + b"\0" * 12,
    "too long": V2 + b"\x21\x11\xff\xff" + b"\0" * 100,
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_without_a_good_header_nobody_is_served(stage, fe1, header):
    with connect(fe1, "proxied") as raw:
        raw.send(header)
        try:
            raw.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the frontend was faster
        assert not raw.rest().startswith(b"220")


def test_a_header_where_none_is_expected_is_an_error(stage, fe1):
    with Raw(fe1.address, Network.SMTP) as raw:
        assert raw.reply().startswith(b"220")
        assert raw.ask_smtp(b"PROXY TCP4 192.0.2.7 203.0.113.1 4711 25").startswith(b"5")


def test_a_filter_says_whose_mail_it_passes_on(stage, fe1, account):
    size = len(fe1.log())
    with connect(fe1, "filtered") as raw:
        raw.reply()
        assert b"XCLIENT" in raw.ask_smtp(b"EHLO filter.example.com")
        assert raw.ask_smtp(b"XCLIENT ADDR=192.0.2.77 PORT=4711").startswith(b"220")
        send(raw, account)
    assert "192.0.2.77" in received_from(stage)
    wait_until(lambda: "192.0.2.77" in fe1.log()[size:], "it is in the log", 10, 0.05)


@pytest.mark.parametrize("address, is_filter", [("192.0.2.7", False), ("127.0.0.77", True)])
def test_behind_a_balancer_it_is_the_client_that_must_be_a_filter(stage, fe1, address, is_filter):
    with connect(fe1, "proxied") as raw:
        raw.send(version_2(address, "127.0.0.1", 4711))
        raw.reply()
        assert (b"XCLIENT" in raw.ask_smtp(b"EHLO client.example.com")) == is_filter
        assert raw.ask_smtp(b"XCLIENT ADDR=192.0.2.77").startswith(b"220" if is_filter else b"5")


def test_nobody_else_may_say_whose_mail_it_is(stage, fe1):
    with Raw(fe1.address, Network.SMTP) as raw:
        raw.reply()
        assert b"XCLIENT" not in raw.ask_smtp(b"EHLO client.example.com")
        assert raw.ask_smtp(b"XCLIENT ADDR=192.0.2.77").startswith(b"5")
