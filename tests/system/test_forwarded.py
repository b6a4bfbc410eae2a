# SPDX-License-Identifier: Apache-2.0
"""Whose mail it is when somebody else connects: XCLIENT and the PROXY protocol, from those who may."""
import re
import smtplib
import socket
import struct

import pytest

from cluster import Network, clients
from raw import Raw
from scripted import BALANCED, LONGEST_WAIT_S

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CONTENT = b"Subject: passed on\r\n\r\nbody\r\n"


@pytest.fixture
def fe3(stage):
    return stage.frontends["fe3"]


def received(stage, account):
    """The Received field that we wrote, on one line."""
    content, = stage.backends[account.host].lmtp.taken(account.address)
    return re.sub(rb"\r\n[ \t]+", b" ", re.search(rb"Received: (?:[^\r]|\r\n[ \t])*", content)[0]).decode()


def test_xclient_says_whose_mail_it_is(stage, fe3, unused):
    account = unused("sv1")
    with smtplib.LMTP(fe3.address, Network.LMTP, source_address=(fe3.address, 0), timeout=LONGEST_WAIT_S) as client:
        client.ehlo("filter.example.com")
        assert client.esmtp_features["xclient"].upper() == "NAME ADDR PORT PROTO HELO SESSION TTL"
        assert client.docmd("XCLIENT", "NAME=spike.example.net ADDR=192.0.2.77 PORT=1025")[0] == 220
        assert client.docmd("MAIL", "FROM:<a@example.net>")[0] == 503  # the session begins anew
        client.ehlo("client.example.net")
        client.sendmail("a@example.net", [account.address], CONTENT)
    assert received(stage, account).startswith(
        "Received: from client.example.net (spike.example.net [192.0.2.77]) by ")


def test_xclient_with_helo_needs_no_hello(stage, fe3, unused):
    account = unused("sv1")
    with smtplib.LMTP(fe3.address, Network.LMTP, source_address=(fe3.address, 0), timeout=LONGEST_WAIT_S) as client:
        client.ehlo("filter.example.com")
        assert client.docmd("XCLIENT", "ADDR=IPV6:2001:db8::1 NAME=[UNAVAILABLE] HELO=me.example PROTO=ESMTP")[0] == 220
        client.sendmail("a@example.net", [account.address], CONTENT)
    assert received(stage, account).startswith("Received: from me.example ([IPv6:2001:db8::1]) by ")


def test_xclient_is_refused_from_anybody_else_and_when_it_is_malformed(fe3):
    with smtplib.SMTP(fe3.address, Network.SMTP, timeout=LONGEST_WAIT_S) as client:
        client.ehlo()
        assert "xclient" not in client.esmtp_features
        assert client.docmd("XCLIENT", "ADDR=192.0.2.1")[0] == 550
    with smtplib.LMTP(fe3.address, Network.LMTP, source_address=(fe3.address, 0), timeout=LONGEST_WAIT_S) as client:
        client.ehlo()
        for bad in ("ADDR=192.0.2.1x", "NAME=a+0D+0AMAIL", "LOGIN=joe", "ADDR", "HELO=a b"):
            assert client.docmd("XCLIENT", bad)[0] == 501


def version_2(command, payload=b"", family=0x11):
    return SIGNATURE + bytes([0x20 | command, family]) + struct.pack("!H", len(payload)) + payload


IPV4 = socket.inet_aton("192.0.2.77") + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 1025, 25)
TLVS = b"\x04\0\x03abc" + b"\x20\0\x05\x01\0\0\0\0"


@pytest.mark.parametrize("header, address", [
    (b"PROXY TCP4 192.0.2.77 192.0.2.1 1025 25\r\n", "[192.0.2.77]"),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 1025 25\r\n", "[IPv6:2001:db8::1]"),
    (b"PROXY UNKNOWN\r\n", None), (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
    (version_2(1, IPV4), "[192.0.2.77]"), (version_2(1, IPV4 + TLVS), "[192.0.2.77]"),
    (version_2(1, socket.inet_pton(socket.AF_INET6, "2001:db8::1") * 2 + b"\0\1\0\2", 0x21), "[IPv6:2001:db8::1]"),
    (version_2(0), None), (version_2(0, IPV4), None), (version_2(0, TLVS, 0), None),
], ids=["1", "1 IPv6", "1 unknown", "1 unknown with addresses", "2", "2 with TLVs", "2 IPv6", "2 local",
        "2 local with addresses", "2 local with TLVs"])
@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "byte by byte"])
def test_a_balancer_says_whose_connection_it_is(stage, fe3, unused, header, address, is_cut):
    account = unused("sv1")
    with Raw(fe3.address, BALANCED, seconds=LONGEST_WAIT_S, source=fe3.address) as raw:
        for piece in [header[i:i + 1] for i in range(len(header))] if is_cut else [header + b"EHLO a.example\r\n"]:
            raw.send(piece)
        if is_cut:
            raw.send(b"EHLO a.example\r\n")
        assert raw.reply().startswith(b"220 ") and raw.reply().startswith(b"250-")
        raw.ask_smtp(b"MAIL FROM:<a@example.net>")
        raw.ask_smtp(b"RCPT TO:<%s>" % account.address.encode())
        raw.ask_smtp(b"DATA")
        assert raw.ask_smtp(CONTENT + b".").startswith(b"250 ")
    assert f"({address or f'[{fe3.address}]'})" in received(stage, account)


@pytest.mark.parametrize("header", [
    b"EHLO client.example.com\r\n", b"PROXY TCP4 192.0.2.77 192.0.2.1 1025\r\n", b"PROXY TCP4 192.0.2.777 192.0.2.1 1 2\r\n",
    b"PROXY TCP4 2001:db8::1 192.0.2.1 1 2\r\n", b"PROXY TCP4 192.0.2.77 192.0.2.1 65536 2\r\n", b"PROXY " + b"x" * 200,
    b"PROXY TCP4 192.0.2.77 192.0.2.1 1 2\n", SIGNATURE + b"\x31\x11\0\x0c" + IPV4, version_2(2, IPV4),
    version_2(1, IPV4[:8]), SIGNATURE + b"\x21\x11\xff\xff" + IPV4 + b"\0" * 3000])
def test_a_broken_proxy_header_ends_the_connection_unheard(fe3, header):
    with Raw(fe3.address, BALANCED, seconds=LONGEST_WAIT_S, source=fe3.address) as raw:
        raw.send(header + b"\r\nQUIT\r\n")
        assert raw.rest() == b""


def test_a_proxy_header_from_anybody_else_is_no_header(fe3):
    with Raw(fe3.address, Network.SMTP, seconds=LONGEST_WAIT_S) as raw:
        raw.reply()
        assert raw.ask_smtp(b"PROXY TCP4 192.0.2.77 192.0.2.1 1025 25").startswith(b"500 ")
