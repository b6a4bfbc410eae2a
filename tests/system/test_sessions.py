# SPDX-License-Identifier: Apache-2.0
"""Who is there, who has to go, and who may not come: mailstead who, kick, drain, block."""
import smtplib
import socket
import threading
import time

import pytest

from cluster import Network, wait_until
from raw import log_in
from reloads import reload


def who(frontend, *choice):
    return frontend.admin().json("who", *choice)


def has_ended(raw):
    raw.socket.settimeout(20)
    return raw.rest() == b""


def test_who_shows_sessions_of_both_generations_and_kick_ends_those_that_are_meant(cluster, fe2, fresh):
    account, other = fresh("sv1"), fresh("sv2")
    sessions = [log_in(fe2, account) for _ in range(4)]
    reload(fe2)
    sessions += [log_in(fe2, account) for _ in range(4)]
    bystander = log_in(fe2, other)
    # Workers come to the new control process one after the other.
    rows = wait_until(lambda: (rows := who(fe2, "--account", account.address)) and len(rows) == 8 and rows,
                      "all workers answer", 10)
    assert {row["backend"] for row in rows} == {"sv1"}
    assert {row["protocol"] for row in rows} == {"imap"}
    assert len({row["pid"] for row in rows}) >= 2, "both generations answer"
    assert len(who(fe2, "--account", other.address, "--backend", "sv1")) == 0
    assert len(who(fe2, "--account", other.address, "--backend", "sv2")) == 1
    one = rows[0]["id"]
    assert fe2.admin().json("kick", "--session", one) == [{"kicked": 1, "node": "fe2"}]
    wait_until(lambda: len(who(fe2, "--account", account.address)) == 7, "the one is gone", 10)
    assert fe2.admin().json("kick", "--account", account.address, "--backend", "sv1") == [{"kicked": 7, "node": "fe2"}]
    assert all(has_ended(session) for session in sessions)
    assert bystander.ask(b"b NOOP").startswith(b"b OK")
    fe2.await_event("event=order_given command=kick")
    bystander.close()


def test_who_sends_is_found_and_ended_by_the_account_too(fe2, fresh, tls):
    account = fresh("sv1")
    with smtplib.SMTP(fe2.address, Network.SUBMISSION, timeout=60) as smtp:
        smtp.starttls(context=tls)
        smtp.login(account.address, account.password)
        (row,) = who(fe2, "--account", account.address)
        assert row["protocol"] == "submission" and row.get("backend") is None
        assert fe2.admin().json("kick", "--account", account.address) == [{"kicked": 1, "node": "fe2"}]
        assert smtp.file.read().startswith(b"421 ")


def refused(frontend):
    try:
        socket.create_connection((frontend.address, Network.IMAP), 5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_drained_frontend_refuses_connections_until_it_is_told_otherwise(cluster, fe2, fresh):
    account = fresh("sv1")
    idle, busy = log_in(fe2, account), log_in(fe2, account)
    stopping = threading.Event()
    rounds = []

    def keep_busy():
        while not stopping.is_set():
            rounds.append(busy.ask(b"b NOOP"))
            stopping.wait(0.05)

    talking = threading.Thread(target=keep_busy)
    talking.start()
    try:
        fe2.admin().json("drain", "--deadline", "1h")
        wait_until(lambda: refused(fe2), "connections are refused", 10)
        assert has_ended(idle), "a silent session goes"
        reload(fe2)
        before = len(rounds)
        wait_until(lambda: len(rounds) > before + 20, "one that talks goes on", 20)
        assert refused(fe2), "new workers obey, too"
        assert "drained" in fe2.admin().run("status").stdout
        fe2.admin().json("drain", "--undo")
        wait_until(lambda: not refused(fe2), "connections are taken", 10)
    finally:
        fe2.admin().json("drain", "--undo")
        stopping.set()
        talking.join()
    assert busy.ask(b"c NOOP").startswith(b"c OK")
    wait_until(lambda: all(not refused(fe2) for _ in range(20)), "all workers listen", 10)
    assert "event=accept_paused" not in fe2.log(), "nobody has to act"
    log_in(fe2, account).close()
    busy.close()


def test_at_the_deadline_of_a_drain_those_who_talk_go_too(cluster, fe2, fresh):
    busy = log_in(fe2, fresh("sv1"))
    fe2.admin().json("drain", "--deadline", "2s")
    try:
        began = time.monotonic()
        with pytest.raises((OSError, AssertionError, EOFError)):
            while time.monotonic() - began < 20:
                answer = busy.ask(b"b NOOP")
                assert answer.startswith(b"b OK")
                time.sleep(0.02)
        assert 1.5 < time.monotonic() - began < 10
    finally:
        fe2.admin().json("drain", "--undo")
    wait_until(lambda: all(not refused(fe2) for _ in range(20)), "all workers listen", 10)


class Guesser:
    """A client from another loopback address."""

    def __init__(self, frontend, source):
        self.frontend, self.source = frontend, source

    def log_in(self, name, password):
        with socket.create_connection((self.frontend.address, Network.IMAP), 30, (self.source, 0)) as connection:
            file = connection.makefile("rb")
            file.readline()
            connection.sendall(b"a LOGIN %s %s\r\n" % (name.encode(), password.encode()))
            return file.readline()


def test_who_guesses_in_parallel_blocks_himself_and_nobody_else(cluster, fe1, fresh):
    victim, neighbour = fresh("sv1"), fresh("sv2")
    attacker = Guesser(fe1, "127.77.1.9")
    answers = []
    guessing = [threading.Thread(target=lambda n=n: answers.append(attacker.log_in(victim.uid, f"guess{n}")))
                for n in range(40)]
    for thread in guessing:
        thread.start()
    for thread in guessing:
        thread.join()
    judged = [answer for answer in answers if b"[AUTHENTICATIONFAILED]" in answer]
    assert len(answers) == 40
    assert 5 <= len(judged) <= 10, "no more guesses than are allowed reach the backend"
    assert all(b"[UNAVAILABLE]" in answer for answer in answers if answer not in judged)
    assert b"[UNAVAILABLE]" in attacker.log_in(victim.uid, victim.password)
    assert Guesser(fe1, "127.77.2.9").log_in(victim.uid, victim.password).startswith(b"a OK")
    assert attacker.log_in(neighbour.uid, neighbour.password).startswith(b"a OK")
    rows = fe1.admin().json("block", "list")
    mine = [row for row in rows if row.get("account") == victim.address]
    assert [row["network"] for row in mine] == ["127.77.1.0/24"]
    assert fe1.admin().json("block", "clear", "--account", victim.address) == [{"lifted": 1, "node": "fe1"}]
    assert attacker.log_in(victim.uid, victim.password).startswith(b"a OK")


@pytest.fixture
def webmail(fe2):
    """fe2, with a webmail host at 127.78.0.1 and two sessions for each account."""
    fe2.write_configuration('limits {\n    trusted_networks = { "127.78.0.1" }\n    sessions_per_account = 2\n}\n')
    reload(fe2)
    yield Guesser(fe2, "127.78.0.1")
    fe2.write_configuration()
    reload(fe2)


def test_guesses_through_a_trusted_webmail_host_lock_nobody_out(cluster, webmail, fresh):
    victim = fresh("sv1")
    answers = []
    guessing = [threading.Thread(target=lambda n=n: answers.append(webmail.log_in(victim.uid, f"guess{n}")))
                for n in range(15)]
    for thread in guessing:
        thread.start()
    for thread in guessing:
        thread.join()
    # The store is slow to refuse so many at once: some may hear that it is not available.
    assert all(answer.startswith(b"a NO") for answer in answers), answers
    assert any(b"[AUTHENTICATIONFAILED]" in answer for answer in answers), answers
    assert webmail.log_in(victim.uid, victim.password).startswith(b"a OK")


@pytest.mark.usefixtures("webmail")
def test_a_session_that_sends_counts_as_one_of_the_accounts(fe2, fresh, tls):
    account = fresh("sv1")
    reader = log_in(fe2, account)

    def may_send(smtp):
        try:
            return smtp.login(account.address, account.password)[0] == 235
        except smtplib.SMTPAuthenticationError as refused:
            assert refused.smtp_code == 454
            return False

    with (smtplib.SMTP(fe2.address, Network.SUBMISSION, timeout=60) as first,
          smtplib.SMTP(fe2.address, Network.SUBMISSION, timeout=60) as second):
        first.starttls(context=tls)
        second.starttls(context=tls)
        assert may_send(first) and not may_send(second)
        fe2.await_event("event=limit_reached limit=sessions_per_account", f"account={account.address}")
        reader.close()
        wait_until(lambda: may_send(second), "the reader has left", 10)
