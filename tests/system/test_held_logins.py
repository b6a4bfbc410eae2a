# SPDX-License-Identifier: Apache-2.0
"""Logins at backends that err: what the client is told, when, and what the backend got to see."""
import base64
import re
import time

import pytest

from cluster import Network, wait_until
from raw import Raw
from scripted import CLOSE, SILENCE, Held, Turns

PORTS = {"imap": Network.IMAP, "pop3": Network.POP3}
TEMPORARY = {"imap": b"a NO [UNAVAILABLE]", "pop3": b"-ERR [SYS/TEMP]"}
ACCEPTED = {"imap": b"a OK", "pop3": b"+OK"}
UNAVAILABLE = {"imap": b"%t NO [UNAVAILABLE] moving", "pop3": b"-ERR [SYS/TEMP] moving"}
WRONG = {"imap": b"%t NO [AUTHENTICATIONFAILED] wrong", "pop3": b"-ERR [AUTH] wrong"}
HOLD_S = 2  # timeouts.login_hold_s of the scripted frontends


@pytest.fixture
def fe1(stage):
    return stage.frontends["fe1"]


@pytest.fixture(params=["imap", "pop3"])
def protocol(request):
    return request.param


def server_of(stage, name, protocol):
    return getattr(stage.backends[name], protocol)


class Login:
    """A login that was begun; its client waits."""

    def __init__(self, frontend, protocol, account):
        self.protocol, self.raw = protocol, Raw(frontend.address, PORTS[protocol])
        self.raw.line()
        if protocol == "imap":
            self.raw.send(f"a LOGIN {account.address} {account.password}\r\n".encode())
        else:
            self.raw.send(f"USER {account.address}\r\nPASS {account.password}\r\n".encode())
            self.raw.line()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.raw.close()

    def answer(self):
        return self.raw.line()

    def is_served(self):
        """A command goes through to the backend and comes back."""
        if self.protocol == "imap":
            return self.raw.ask(b"b NOOP") == b"b OK done"
        return self.raw.ask(b"NOOP") == b"+OK done"


def log_in(frontend, protocol, account):
    with Login(frontend, protocol, account) as login:
        return login.answer()


TROUBLES = {
    "imap": [{"greeting": SILENCE}, {"greeting": b"* BYE not now"}, {"greeting": b"* OK " + b"x" * 100_000},
             {"login": CLOSE}, {"login": b"* BYE overloaded"}, {"login": b"garbage"}, {"login": SILENCE},
             {"login": b"%t NO [UNAVAILABLE] moving"}, {"login": b"%t NO [INUSE] later"}],
    "pop3": [{"greeting": SILENCE}, {"greeting": b"-ERR not now"}, {"greeting": b"garbage"},
             {"greeting": b"+OK " + b"x" * 100_000}, {"login": CLOSE}, {"user": b"garbage"}, {"login": SILENCE},
             {"login": b"-ERR [SYS/TEMP] moving"}, {"login": b"-ERR [IN-USE] later"}],
}


def test_a_login_at_a_backend_that_errs_is_held_and_then_refused_temporarily(stage, fe1, unused):
    """One trouble at a time at each server, all servers at once: a doubt is never a wrong password."""
    names = list(stage.backends)
    rounds = range(0, max(map(len, TROUBLES.values())), len(names))
    for start in rounds:
        began, logins = time.monotonic(), []
        for protocol, scripts in TROUBLES.items():
            for name, script in zip(names, scripts[start:start + len(names)]):
                server_of(stage, name, protocol).play(**script)
                logins.append((script, protocol, Login(fe1, protocol, unused(name))))
        for script, protocol, login in logins:
            with login:
                answer = login.answer()
            assert answer.startswith((TEMPORARY[protocol], b"a NO [INUSE] later", b"-ERR [IN-USE] later")), script
            assert HOLD_S - 0.3 < time.monotonic() - began < HOLD_S + 6, script


def test_a_login_at_a_backend_that_refuses_connections_is_held_until_it_is_there(stage, fe1, protocol, unused):
    account, server = unused("sv1"), server_of(stage, "sv1", protocol)
    server.refuse_connections()
    size = len(fe1.log())
    with Login(fe1, protocol, account) as login:
        wait_until(lambda: "event=backend_failed" in fe1.log()[size:], "it is tried", 5)
        server.listen()
        assert login.answer().startswith(ACCEPTED[protocol])
        assert login.is_served()


@pytest.mark.parametrize("trouble", ["unavailable", "closes"])
def test_a_held_login_follows_its_account_to_the_new_home(stage, fe1, protocol, unused, trouble):
    account, old, new = unused("sv1"), *(server_of(stage, name, protocol) for name in ("sv1", "sv2"))
    old.play(**({"login": UNAVAILABLE[protocol]} if trouble == "unavailable" else {"greeting": CLOSE}))
    size = len(fe1.log())
    with Login(fe1, protocol, account) as login:
        wait_until(lambda: old.sessions() or "event=backend_failed" in fe1.log()[size:], "the old home is asked", 5)
        stage.slapd.set_host(account, "sv2", "sv1")
        assert login.answer().startswith(ACCEPTED[protocol])
        assert login.is_served()
    assert_in_no_log(stage, account)
    session, = new.sessions()
    assert session.credentials == [(account.address.encode(), account.password.encode())]


def test_a_login_that_is_refused_temporarily_once_succeeds_at_the_same_home(stage, fe1, protocol, unused):
    account, server = unused("sv1"), server_of(stage, "sv1", protocol)
    welcome = {"imap": b"%t OK welcome", "pop3": b"+OK welcome"}[protocol]
    server.play(login=Turns(UNAVAILABLE[protocol], UNAVAILABLE[protocol], welcome))
    assert log_in(fe1, protocol, account).startswith(ACCEPTED[protocol])
    assert len(server.sessions()) == 3


def test_a_wrong_password_is_asked_of_the_backend_once_and_not_held(stage, fe1, unused):
    account = unused("sv1")
    logins = []
    for protocol in PORTS:
        server_of(stage, "sv1", protocol).play(login=WRONG[protocol])
        logins.append((protocol, Login(fe1, protocol, account)))
    for protocol, login in logins:
        with login:
            answer = login.answer()
        assert answer.startswith({"imap": b"a NO [AUTHENTICATIONFAILED]", "pop3": b"-ERR"}[protocol])
        assert not answer.startswith(TEMPORARY[protocol])
        assert len(server_of(stage, "sv1", protocol).sessions()) == 1
    assert_in_no_log(stage, account)


def test_nobody_is_logged_in_for_a_client_that_left_while_it_was_held(stage, fe1, protocol, unused):
    account, server = unused("sv1"), server_of(stage, "sv1", protocol)
    greeting = Held(CLOSE)
    server.play(greeting=greeting)
    size = len(fe1.log())
    with Login(fe1, protocol, account):
        greeting.wait_asked()
    server.play()
    greeting.release()
    wait_until(lambda: f'event=end protocol={protocol} reason="client closed"' in fe1.log()[size:], "it ends", 10)
    assert server.sessions() == []


# -- credentials ---------------------------------------------------------------------
PASSWORDS = [b'"', b"\\", b'\\"', b"a b", b" lead and trail ", b"{5}", b"{5+}\\", b"()*%]", b"~{3}", b"\t", b"\x7f",
             "ünïcødé".encode(), b"\xff\xfe", b"%s%n", b"." * 3, b"x" * 200, b"x" * 400]
GREETINGS = {"LOGIN": b"* OK [CAPABILITY IMAP4rev1] scripted",
             "AUTHENTICATE": b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] scripted",
             "SASL-IR": b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN ID] scripted",
             "silent": b"* OK scripted"}


@pytest.mark.parametrize("greeting", list(GREETINGS))
@pytest.mark.parametrize("how", ["plain", "literal"])
def test_any_imap_password_arrives_as_it_was_said(stage, fe1, unused, greeting, how):
    account, server = unused("sv1"), stage.backends["sv1"].imap
    server.play(greeting=GREETINGS[greeting])
    for password in PASSWORDS:
        with Raw(fe1.address, Network.IMAP) as raw:
            raw.line()
            if how == "plain":
                secret = base64.b64encode(b"\0" + account.address.encode() + b"\0" + password)
                raw.send(b"a AUTHENTICATE PLAIN " + secret + b"\r\n")
            else:
                raw.send(b"a LOGIN %s {%d}\r\n" % (account.address.encode(), len(password)))
                assert raw.line().startswith(b"+ ")
                raw.send(password + b"\r\n")
            assert raw.until(b"a ")[-1].startswith(b"a OK"), password
    arrived = [session.credentials for session in server.sessions() if session.credentials]  # no probe's
    assert arrived == [[(account.address.encode(), password)] for password in PASSWORDS]


@pytest.mark.parametrize("how", ["PLAIN", "PASS"])
def test_any_pop3_password_arrives_as_it_was_said(stage, fe1, unused, how):
    account, server = unused("sv1"), stage.backends["sv1"].pop3
    passwords = [password for password in PASSWORDS if how == "PLAIN" or len(password) < 240]
    for password in passwords:
        with Raw(fe1.address, Network.POP3) as raw:
            raw.line()
            if how == "PASS":
                raw.ask(b"USER " + account.address.encode())
                answer = raw.ask(b"PASS " + password)
            else:
                raw.ask(b"AUTH PLAIN")
                answer = raw.ask(base64.b64encode(b"\0" + account.address.encode() + b"\0" + password))
            assert answer.startswith(b"+OK"), password
    arrived = [session.credentials for session in server.sessions() if session.credentials]  # no probe's
    assert arrived == [[(account.address.encode(), password)] for password in passwords]


def assert_in_no_log(stage, account):
    """The account's password, as it is or in what SASL makes of it."""
    password = account.password.encode()
    secret = base64.b64encode(b"\0" + account.address.encode() + b"\0" + password)
    for file in (stage.folder / "log").iterdir():
        assert not re.search(rb"\b" + password + rb"\b|" + re.escape(secret), file.read_bytes()), file


# -- behind the login ------------------------------------------------------------------
def test_commands_behind_an_imap_login_reach_the_backend_in_order(stage, fe1, unused):
    account, server = unused("sv1"), stage.backends["sv1"].imap
    login = Held(b"a OK welcome")
    server.play(login=login)
    commands = [b"b%d NOOP %d" % (number, number) for number in range(500)]
    with Raw(fe1.address, Network.IMAP) as raw:
        raw.line()
        raw.send(f"a LOGIN {account.address} {account.password}\r\n".encode() + b"\r\n".join(commands[:300]) + b"\r\n")
        login.wait_asked()
        raw.send(b"\r\n".join(commands[300:]) + b"\r\n")
        login.release()
        assert raw.line().startswith(b"a OK")
        assert [raw.line() for _ in commands] == [b"b%d OK done" % number for number in range(500)]
    session, = server.sessions()
    assert session.lines[-500:] == commands


def test_commands_behind_a_pop3_login_reach_the_backend_in_order(stage, fe1, unused):
    account, server = unused("sv1"), stage.backends["sv1"].pop3
    login = Held(b"+OK welcome")
    server.play(login=login)
    commands = [b"TOP %d 0" % number for number in range(500)]
    with Raw(fe1.address, Network.POP3) as raw:
        raw.line()
        raw.send(f"USER {account.address}\r\nPASS {account.password}\r\n".encode() + b"\r\n".join(commands) + b"\r\n")
        login.wait_asked()
        login.release()
        assert [raw.line()[:3] for _ in range(502)] == [b"+OK"] * 502
    session, = server.sessions()
    assert session.lines[-500:] == commands


def test_what_the_backend_says_behind_its_welcome_reaches_the_client(stage, fe1, unused):
    account, server = unused("sv1"), stage.backends["sv1"].imap
    server.play(login=b"%t OK [CAPABILITY IMAP4rev1 X] welcome\r\n* 3 EXISTS\r\n* BYE so soon")
    with Login(fe1, "imap", account) as login:
        assert login.answer() == b"a OK [CAPABILITY IMAP4rev1 X] welcome"
        assert [login.raw.line(), login.raw.line()] == [b"* 3 EXISTS", b"* BYE so soon"]


def test_the_backend_learns_who_the_client_is(stage, fe1, unused):
    account, server = unused("sv1"), stage.backends["sv1"].imap
    with Login(fe1, "imap", account) as login:
        assert login.answer().startswith(b"a OK")
        port = login.raw.socket.getsockname()[1]
    line = next(line for session in server.sessions() for line in session.lines if b" ID " in line)
    assert b'"x-originating-ip" "127.0.0.1"' in line
    assert f'"x-originating-port" "{port}"'.encode() in line and b'"x-session-id"' in line


def test_the_backend_learns_what_the_client_says_of_itself_and_nothing_forged(stage, fe1, unused):
    account, server = unused("sv1"), stage.backends["sv1"].imap
    with Raw(fe1.address, Network.IMAP) as raw:
        raw.line()
        raw.ask_tagged(b"i", b'ID ("x-originating-ip" "192.0.2.66" "name" "Mail \\"er" "X-Session-ID" "forged" '
                             b'"x-proxy-ttl" "99" "x-connected-ip" "192.0.2.67" "version" NIL)')
        raw.ask_tagged(b"j", b'ID ("name" "%s")' % (b"x" * 1025))
        answer = raw.ask_tagged(b"a", f"LOGIN {account.address} {account.password}".encode())
        assert answer[-1].startswith(b"a OK")
        # Behind the login ID is the backend's business.
        raw.ask_tagged(b"k", b'ID ("x-originating-ip" "192.0.2.66")')
    session, = (session for session in server.sessions() if session.credentials)
    before, behind = (line for line in session.lines if b" ID " in line)
    assert before.startswith(b'i ID ("name" "Mail \\"er" "version" NIL "x-originating-ip" "127.0.0.1" ')
    assert b"forged" not in before and b"192.0.2" not in before and before.count(b"x-proxy-ttl") == 1
    assert behind == b'k ID ("x-originating-ip" "192.0.2.66")'


def test_a_session_ends_when_its_account_moves(stage, fe1, protocol, unused):
    account = unused("sv1")
    with Login(fe1, protocol, account) as login:
        assert login.answer().startswith(ACCEPTED[protocol]) and login.is_served()
        stage.slapd.set_host(account, "sv2", "sv1")
        assert login.raw.line() == b""
    assert log_in(fe1, protocol, account).startswith(ACCEPTED[protocol])
    assert server_of(stage, "sv2", protocol).sessions()
