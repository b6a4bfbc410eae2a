# SPDX-License-Identifier: Apache-2.0
"""A backend that returns, or that gets a failed one's accounts, is not run over by all that waited."""
import math
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cluster import Network, clients, wait_until
from raw import Raw
from scripted import LONGEST_WAIT_S, SILENCE, ReturningCluster

FIRST, LENGTH_S = ReturningCluster.RAMP_FIRST, ReturningCluster.RAMP_S
LAG_S = 0.25      # what nobody used for so long is made up for
LATENESS_S = 0.4  # of the first connection, as it is measured here
QUICK, LONG = (150, 80), (10_000, 1_000)  # messages, logins


@pytest.fixture
def stage(returning_cluster):
    for server in returning_cluster.servers():
        server.forget()
    wait_until_up(returning_cluster.frontends["fe1"])
    yield returning_cluster
    for server in returning_cluster.servers():
        server.forget()


@pytest.fixture
def fe1(stage):
    return stage.frontends["fe1"]


def health(frontend, name, protocol):
    """Unknown while the process that knows it has not said that it does."""
    backends = {backend["backend"]: backend for backend in frontend.admin().json("status")[0]["backends"]}
    return backends[name][protocol]["state"] if name in backends else "unknown"


def wait_until_down(frontend, name, protocol):
    wait_until(lambda: health(frontend, name, protocol) == "down", f"{name} is down", LONGEST_WAIT_S, 0.1)


def wait_until_up(frontend):
    wait_until(lambda: all(health(frontend, name, protocol) == "up" for name in frontend.cluster.backends
                           for protocol in ("lmtp", "imap")), "all are up", 120, 0.1)


def allowed(age_s):
    """How many may have begun so long after the first, by the ramp alone."""
    tenth_s = LENGTH_S / 10
    return FIRST * tenth_s / math.log(2) * (2 ** (age_s / tenth_s) - 1) + FIRST * LAG_S + 2


def assert_ramped(server, count):
    """So many connections came, and never more than the ramp lets through."""
    came = sorted(session.accepted_s for session in server.sessions())
    assert len(came) >= count
    ages = [at - came[0] for at in came]
    print("per 100 ms:", [sum(i / 10 <= age < (i + 1) / 10 for age in ages) for i in range(30)])
    for number, age in enumerate(ages):
        if age < LENGTH_S - LATENESS_S:
            assert number <= allowed(age + LATENESS_S), f"connection {number} came {age:.2f} s after the first"


def send_many(frontend, recipients, count):
    """So many messages, eight at a time, each of them taken."""
    def send(number):
        with Raw(frontend.address, Network.SMTP, seconds=LONGEST_WAIT_S) as raw:
            raw.reply()
            raw.ask_smtp(b"EHLO client.example.com")
            for i in range(number, count, 8):
                raw.ask_smtp(f"MAIL FROM:<{clients.STRANGER}>".encode())
                assert raw.ask_smtp(f"RCPT TO:<{recipients[i % len(recipients)]}>".encode()).startswith(b"250")
                assert raw.ask_smtp(b"DATA").startswith(b"354")
                assert raw.ask_smtp(f"Subject: {i}\r\n\r\nbody\r\n.".encode()).startswith(b"250")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(send, range(8)))


class Crowd:
    """Logins that wait, of so many accounts, in turns."""

    def __init__(self, frontend, accounts, count):
        self.raws = []
        for i in range(count):
            account = accounts[i % len(accounts)]
            raw = Raw(frontend.address, Network.IMAP, seconds=60)
            raw.line()
            raw.send(f"a LOGIN {account.address} {account.password}\r\n".encode())
            self.raws.append(raw)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for raw in self.raws:
            raw.close()

    def assert_all_get_in(self):
        for raw in self.raws:
            assert raw.line().startswith(b"a OK")


@pytest.fixture(params=["quick", pytest.param("long", marks=pytest.mark.long)])
def sizes(request):
    return QUICK if request.param == "quick" else LONG


def test_a_long_queue_does_not_run_over_a_backend_that_returns(stage, fe1, sizes):
    count, server = sizes[0], stage.backends["sv1"].lmtp
    server.refuse_connections()
    wait_until_down(fe1, "sv1", "lmtp")
    send_many(fe1, [account.address for account in stage.accounts_of("sv1")[:100]], count)
    assert fe1.admin().json("queue", "stat")[0]["messages"] == count
    server.listen()
    wait_until(lambda: len(server.messages) >= count, "all arrive", 120, 0.1)
    assert_ramped(server, count)
    wait_until(lambda: fe1.admin().json("queue", "stat")[0]["messages"] == 0, "the queue is empty", 30, 0.1)
    assert len(server.messages) == count
    assert len({message.content for message in server.messages}) == count


def test_other_backends_get_their_mail_while_one_is_ramped(stage, fe1):
    server, other = stage.backends["sv1"].lmtp, stage.backends["sv2"].lmtp
    server.refuse_connections()
    wait_until_down(fe1, "sv1", "lmtp")
    send_many(fe1, [stage.accounts_of("sv1")[0].address], 100)
    server.listen()
    wait_until(lambda: server.messages, "the first arrives", 60, 0.02)
    send_many(fe1, [stage.accounts_of("sv2")[0].address], 50)
    assert len(other.messages) == 50  # cut through, as always
    wait_until(lambda: len(server.messages) == 100, "all arrive", 60, 0.1)
    assert_ramped(server, 100)


def test_logins_that_waited_do_not_run_over_a_backend_that_returns(stage, fe1, sizes):
    server, count = stage.backends["sv1"].imap, sizes[1]
    server.refuse_connections()
    wait_until_down(fe1, "sv1", "imap")
    with Crowd(fe1, stage.accounts_of("sv1"), count) as crowd:
        server.listen()
        crowd.assert_all_get_in()
    assert_ramped(server, count)


def test_logins_of_moved_accounts_do_not_run_over_their_new_home(stage, fe1, sizes):
    """The new home was up all the time: its own users need not wait behind those who come."""
    old, new, count = stage.backends["sv1"].imap, stage.backends["sv2"].imap, sizes[1]
    accounts, own = stage.accounts_of("sv1")[:100], stage.accounts_of("sv2")[0]
    old.refuse_connections()
    wait_until_down(fe1, "sv1", "imap")
    try:
        with Crowd(fe1, accounts, count) as crowd:
            move(stage, accounts, "sv2")
            wait_until(new.sessions, "the first is let in", 20, 0.01)
            began_s = time.monotonic()
            clients.imap_login(fe1, own).logout()
            own_s = time.monotonic() - began_s
            crowd.assert_all_get_in()
        assert own_s < 1.5
        assert_ramped(new, count)
    finally:
        move(stage, accounts, "sv1")


class Listener(threading.Thread):
    """A client at another backend that has something to say all the time."""

    def __init__(self, frontend, account):
        super().__init__()
        self.raw, self.rounds_s, self.trouble = Raw(frontend.address, Network.IMAP), [], None
        self.raw.line()
        assert self.raw.ask(f"a LOGIN {account.address} {account.password}".encode()).startswith(b"a OK")
        self.is_over = threading.Event()

    def run(self):
        while not self.is_over.wait(0.05):
            began_s = time.monotonic()
            answer = self.raw.ask(b"b NOOP")
            self.rounds_s.append(time.monotonic() - began_s)
            if answer != b"b OK done":
                self.trouble = answer
                return

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.join()
        self.raw.close()


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_a_backend_dies_with_its_sessions_and_all_get_in_at_the_sibling(stage, fe1, count):
    """Its accounts are reassigned; who is elsewhere notices nothing, and nothing is run over."""
    dead, sibling = stage.backends["sv1"], stage.backends["sv2"].imap
    accounts, bystander = stage.accounts_of("sv1"), stage.accounts_of("sv3")[0]
    with Crowd(fe1, accounts, count) as crowd, Listener(fe1, bystander) as listener:
        crowd.assert_all_get_in()
        assert len(fe1.admin().json("who", "--backend", "sv1")) == count
        for server in dead.servers():
            server.refuse_connections()
        try:
            for connection in dead.imap.sessions():
                connection.socket.shutdown(socket.SHUT_RDWR)
            for raw in crowd.raws:  # paced; then each client comes again at once
                assert raw.rest() == b""
                raw.close()
            with Crowd(fe1, accounts, count) as again:
                before = len(sibling.sessions())
                fe1.admin().text("reassign", "--from", "sv1", "--to", "sv2", "--yes")
                again.assert_all_get_in()
                assert before == 0, "nobody was let in at the sibling before the accounts were its own"
                assert len(fe1.admin().json("who", "--backend", "sv2")) == count
        finally:
            for server in dead.servers():
                server.listen()
            wait_until_up(fe1)
            fe1.admin().text("restore", "sv1", "--yes")
    assert_ramped(sibling, count)
    assert listener.trouble is None and len(listener.rounds_s) > 20
    print(f"bystander: {len(listener.rounds_s)} rounds, the longest {max(listener.rounds_s) * 1000:.0f} ms")
    assert sorted(listener.rounds_s)[len(listener.rounds_s) * 95 // 100] < 0.5


def move(stage, accounts, host):
    stage.slapd.modify("".join(f"dn: {account.dn}\nchangetype: modify\nreplace: hostServer\nhostServer: {host}\n\n"
                               for account in accounts))


@pytest.mark.long
def test_a_backend_that_greets_and_serves_nobody_goes_down_again(stage, fe1):
    """Its probes are good; what several sessions meet takes it down, and the next ramp begins anew."""
    server, count = stage.backends["sv1"].imap, 40
    server.refuse_connections()
    wait_until_down(fe1, "sv1", "imap")
    size = len(fe1.log())
    with Crowd(fe1, stage.accounts_of("sv1"), count) as crowd:
        server.play(login=SILENCE)
        server.listen()
        wait_until(lambda: re.search(r"event=backend_up backend=sv1 protocol=imap[\s\S]*"
                                     r"event=backend_down backend=sv1 protocol=imap", fe1.log()[size:]),
                   "it is up, and down again", LONGEST_WAIT_S, 0.1)
        assert len(server.sessions()) < count + 20
        server.play()
        crowd.assert_all_get_in()
