# SPDX-License-Identifier: Apache-2.0
"""Clients that are slow, silent or many delay nobody else, and starve no backend."""
import ssl
import statistics
import threading
import time

import pytest

from cluster import Network, clients, wait_until
from raw import Raw
from scripted import begin, stuffed, submit

SLOW_OF_EACH_KIND = 40
MEASURED = 40
VERIFIED_AT_A_TIME = 100
CONTENT = b"Subject: good\r\n\r\nbody\r\n"


@pytest.fixture
def fe1(stage):
    return stage.frontends["fe1"]


# -- slow in five ways -----------------------------------------------------------------
def half_a_greeting(server, _):
    raw = Raw(server.address, Network.SMTP)
    raw.send(b"EHLO client.exam")
    return raw


def nothing_at_all(server, _):
    return Raw(server.address, Network.SMTP)


def half_a_handshake(server, _):
    raw = Raw(server.address, Network.SMTP)
    raw.reply()
    raw.ask_smtp(b"EHLO client.example.com")
    assert raw.ask_smtp(b"STARTTLS").startswith(b"220")
    hello = ssl.MemoryBIO()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        client.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="fe1").do_handshake()
    except ssl.SSLWantReadError:
        raw.send(hello.read(40))
    return raw


def half_a_message(server, account):
    raw, answers = begin(server, [account.address])
    assert answers.data.startswith(b"354")
    raw.send(b"Subject: half\r\n\r\nhalf of a mess")
    return raw


def one_byte_a_second(server, account):
    raw, answers = begin(server, [account.address])
    assert answers.data.startswith(b"354")
    raw.is_dripping = True
    return raw


KINDS = (half_a_greeting, nothing_at_all, half_a_handshake, half_a_message, one_byte_a_second)


class SlowClients:
    """So many of each kind, until the end."""

    def __init__(self, server, account):
        self.raws = [kind(server, account) for kind in KINDS for _ in range(SLOW_OF_EACH_KIND)]
        self.is_over = threading.Event()
        self.dripping = threading.Thread(target=self.drip)

    def drip(self):
        while not self.is_over.wait(1):
            for raw in self.raws:
                if getattr(raw, "is_dripping", False):
                    raw.send(b"x")

    def __enter__(self):
        self.dripping.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.dripping.join()
        for raw in self.raws:
            raw.close()


def measure(server, account):
    """The median time of a good message."""
    taken_s = []
    for _ in range(MEASURED):
        began = time.monotonic()
        assert submit(server, [account.address], CONTENT).final == b"250 2.0.0 Taken"
        taken_s.append(time.monotonic() - began)
    return statistics.median(taken_s)


def test_two_hundred_slow_clients_do_not_delay_a_good_one(stage, fe1, unused):
    slow, good = unused("sv1"), unused("sv2")
    alone_s = measure(fe1, good)
    with SlowClients(fe1, slow) as crowd:
        assert len(crowd.raws) == 200
        among_s = measure(fe1, good)
    alone_s = min(alone_s, measure(fe1, good))
    print(f"alone {alone_s * 1000:.2f} ms, among slow ones {among_s * 1000:.2f} ms")
    assert among_s < 3 * alone_s + 0.02
    assert len(stage.backends["sv2"].lmtp.taken(good.address)) == 3 * MEASURED
    wait_until(lambda: all(session.is_over.is_set() for session in stage.backends["sv1"].lmtp.sessions()),
               "nothing is left open at the backend", 20, 0.05)
    assert stage.backends["sv1"].lmtp.messages == []


# -- a flood of recipients ---------------------------------------------------------------
def test_a_flood_of_recipients_does_not_starve_a_backend(stage, fe1, unused):
    """Above the bound the directory's word is enough; the backend's other work goes on."""
    account, patient = unused("sv1"), stage.frontends["fe2"]
    server = stage.backends["sv1"].lmtp
    flood = []
    try:
        for _ in range(VERIFIED_AT_A_TIME + 60):
            raw = Raw(fe1.address, Network.SMTP)
            raw.reply()
            raw.ask_smtp(b"EHLO client.example.com")
            raw.ask_smtp(b"MAIL FROM:<a@example.com>")
            assert raw.ask_smtp(f"RCPT TO:<{account.address}>".encode()).startswith(b"250 ")
            flood.append(raw)
        assert len([session for session in server.sessions() if not session.is_over.is_set()]) == VERIFIED_AT_A_TIME
        assert submit(patient, [account.address], CONTENT).final == b"250 2.0.0 Taken"  # another frontend's
        clients.imap_login(fe1, account).logout()
        assert submit(fe1, [account.address], CONTENT).final.startswith(b"250 ")
        wait_until(lambda: len(server.taken(account.address)) == 2, "the queue delivers, too", 20, 0.05)
        for raw in flood[-3:]:  # whose recipients nobody has asked about
            assert raw.ask_smtp(b"DATA").startswith(b"354")
            raw.send(stuffed(CONTENT))
            assert raw.reply().startswith(b"250 ")
        wait_until(lambda: len(server.taken(account.address)) == 5, "they arrive", 20, 0.05)
    finally:
        for raw in flood:
            raw.close()
    wait_until(lambda: all(session.is_over.is_set() for session in server.sessions()), "all is let go", 20, 0.05)
