# SPDX-License-Identifier: Apache-2.0
"""Bad input ends at most the session that it came in, and nothing of it reaches a backend."""
import base64
import socket
import time

import pytest

from cluster import Network, clients, wait_until
from raw import Raw

PORTS = {"smtp": Network.SMTP, "imap": Network.IMAP, "pop3": Network.POP3}
GREETINGS = {"smtp": b"220", "imap": b"* OK", "pop3": b"+OK"}
ERRORS = {"smtp": (b"5", b"4"), "imap": (b"a BAD", b"a NO", b"* BYE", b"* BAD"), "pop3": (b"-ERR",)}


@pytest.fixture(autouse=True)
def witness(fe1, cluster):
    """A session of each kind that must not notice."""
    account = cluster.accounts_of("sv1")[-1]
    imap, pop = clients.imap_login(fe1, account), clients.pop3_login(fe1, account)
    starts = fe1.process.log_file.read_text(errors="replace").count("event=child_started")
    yield
    assert imap.noop()[0] == "OK"
    assert pop.noop().startswith(b"+OK")
    imap.logout()
    pop.quit()
    assert fe1.process.log_file.read_text(errors="replace").count("event=child_started") == starts


def open_raw(frontend, protocol):
    raw = Raw(frontend.address, PORTS[protocol])
    assert raw.line().startswith(GREETINGS[protocol])
    if protocol == "smtp":
        raw.ask_smtp(b"EHLO client.example.com")
    return raw


def is_error_or_end(protocol, line):
    return line == b"" or line.startswith(ERRORS[protocol])


BAD = {
    "over-long line": b"a " + b"x" * 100_000 + b"\r\n",
    "NUL": b"a NO\0OP\r\n",
    "bare CR": b"a NOOP\rb NOOP\r\n",
    "control characters": bytes(range(1, 10)) + b"\r\n",
    "TLS handshake": bytes.fromhex("16030100a5010000a10303") + bytes(range(1, 155)) + b"\r\n",
    "eight bits": b"a \xff\xfe\xfd\r\n",
    "empty line": b"\r\n",
    "only spaces": b"      \r\n",
}


@pytest.mark.parametrize("protocol", PORTS)
@pytest.mark.parametrize("octets", BAD.values(), ids=BAD.keys())
def test_bad_bytes_before_login_get_an_error_or_an_end(fe1, protocol, octets):
    with open_raw(fe1, protocol) as raw:
        try:
            raw.send(octets)
        except ConnectionError:
            return
        assert is_error_or_end(protocol, raw.line())


@pytest.mark.parametrize("protocol", PORTS)
def test_a_line_that_never_ends_costs_no_memory_and_ends_its_session(fe1, protocol):
    def resident():
        return sum(resident_bytes(pid) for pid in fe1.children("worker"))

    before = resident()
    with open_raw(fe1, protocol) as raw:
        raw.socket.settimeout(20)
        deadline = time.monotonic() + 20
        with pytest.raises(ConnectionError):
            while time.monotonic() < deadline:
                raw.send(b"x" * 65536)
    assert resident() - before < 16 * 2 ** 20


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * 4096


@pytest.mark.parametrize("protocol", PORTS)
def test_a_silent_client_is_ended(fe1, protocol):
    with open_raw(fe1, protocol) as raw:
        began = time.monotonic()
        raw.rest()
        assert 3 < time.monotonic() - began < 15


@pytest.mark.parametrize("port", [Network.IMAPS, Network.POP3S])
def test_a_client_that_never_begins_its_tls_handshake_is_ended(fe1, port):
    with Raw(fe1.address, port) as raw:
        began = time.monotonic()
        raw.rest()
        assert time.monotonic() - began < 15


@pytest.mark.parametrize("port", [Network.IMAPS, Network.POP3S])
def test_plain_text_on_a_tls_port_ends_the_session(fe1, port):
    with Raw(fe1.address, port) as raw:
        raw.send(b"a LOGIN user1@example.org secret1\r\n")
        answer = raw.rest()
    assert b"OK" not in answer


def test_imap_literals_before_login_are_bounded(fe1):
    for size in (2 ** 20, 2 ** 31, 2 ** 32, 2 ** 64, 10 ** 30):
        with open_raw(fe1, "imap") as raw:
            assert is_error_or_end("imap", raw.ask(b"a LOGIN {%d}" % size))


def test_an_unterminated_imap_literal_ends_with_its_session(fe1):
    with open_raw(fe1, "imap") as raw:
        assert raw.ask(b"a LOGIN {10}").startswith(b"+")
        raw.send(b"user")
        raw.socket.shutdown(socket.SHUT_WR)
        raw.rest()


def test_an_unterminated_quoted_string_is_an_error(fe1):
    with open_raw(fe1, "imap") as raw:
        assert is_error_or_end("imap", raw.ask(b'a LOGIN "user secret'))


@pytest.mark.parametrize("secret", [b"!!!!", b"QUJD=", b"====", b"A", b"*", b"AGEAYgBj" * 2000])
@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_broken_base64_is_an_error(fe1, protocol, secret):
    command = b"a AUTHENTICATE PLAIN" if protocol == "imap" else b"AUTH PLAIN"
    with open_raw(fe1, protocol) as raw:
        assert raw.ask(command).startswith(b"+")
        assert is_error_or_end(protocol, raw.ask(secret))


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
@pytest.mark.parametrize("poison", ["\r\n", "\n", "\r", "\0"])
def test_credentials_with_line_breaks_reach_no_backend(cluster, fe1, fresh, protocol, poison):
    """A line break inside base64 credentials would become a command of its own at the backend."""
    account = fresh("sv1")
    log = cluster.backends["sv1"].dovecot.process.log_file
    before = log.stat().st_size
    command = b"a AUTHENTICATE PLAIN " if protocol == "imap" else b"AUTH PLAIN "
    for text in (f"\0{account.address}{poison}x LOGOUT\0{account.password}",
                 f"\0{account.address}\0{account.password}{poison}x DELETE INBOX"):
        with open_raw(fe1, protocol) as raw:
            answer = raw.ask(command + base64.b64encode(text.encode()))
            assert is_error_or_end(protocol, answer) and not answer.startswith(b"a OK")
    with open(log, errors="replace") as file:
        file.seek(before)
        assert account.address not in file.read()


@pytest.mark.parametrize("protocol", ["imap", "pop3", "smtp"])
def test_plaintext_behind_starttls_is_not_obeyed(fe1, protocol, tls):
    """Commands that an attacker puts into the packet of STARTTLS must not be run inside TLS."""
    commands = {"imap": b"a STARTTLS\r\nb NOOP\r\n", "pop3": b"STLS\r\nCAPA\r\n", "smtp": b"STARTTLS\r\nNOOP\r\n"}
    with open_raw(fe1, protocol) as raw:
        raw.send(commands[protocol])
        raw.line()
        try:
            raw.socket.settimeout(10)
            wrapped = tls.wrap_socket(raw.socket, server_hostname=fe1.address)
            wrapped.settimeout(2)
            injected = wrapped.recv(100)
        except OSError:
            injected = b""
        assert injected == b""


# -- SMTP smuggling ----------------------------------------------------------------
@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n\n.\r\n"])
def test_only_crlf_dot_crlf_ends_a_message(fe1, fresh, end):
    account, victim = fresh("sv1"), fresh("sv1")
    smuggled = (b"MAIL FROM:<admin@example.org>\r\nRCPT TO:<" + victim.address.encode()
                + b">\r\nDATA\r\nSubject: smuggled\r\n\r\nevil\r\n")
    with open_raw(fe1, "smtp") as raw:
        raw.ask_smtp(b"MAIL FROM:<a@example.com>")
        raw.ask_smtp(b"RCPT TO:<" + account.address.encode() + b">")
        assert raw.ask_smtp(b"DATA").startswith(b"354")
        raw.send(b"Subject: carrier\r\n\r\ntext" + end + smuggled + b"\r\n.\r\n")
        answer = raw.reply()
        raw.send(b"QUIT\r\n")
        rest = raw.rest()
    assert answer[:1] in b"25" or answer == b""
    assert rest.count(b"250 ") == 0
    wait_until(lambda: not fe1.admin().queued(account, victim), "nothing waits in the queue", 20)
    assert clients.read_by_imap(fe1, victim) == []
    carriers = clients.read_by_imap(fe1, account)
    assert len(carriers) == (1 if answer.startswith(b"250") else 0)


def test_a_client_that_leaves_in_the_middle_of_data_leaves_nothing(fe1, fresh):
    account = fresh("sv2")
    with open_raw(fe1, "smtp") as raw:
        raw.ask_smtp(b"MAIL FROM:<a@example.com>")
        raw.ask_smtp(b"RCPT TO:<" + account.address.encode() + b">")
        raw.ask_smtp(b"DATA")
        raw.send(b"Subject: half\r\n\r\nhalf of a mess")
    wait_until(lambda: not fe1.admin().queued(account), "nothing waits in the queue", 20)
    assert clients.read_by_imap(fe1, account) == []


def test_a_message_over_the_limit_is_refused(fe1, fresh):
    account = fresh("sv2")
    with open_raw(fe1, "smtp") as raw:
        answer = raw.ask_smtp(b"MAIL FROM:<a@example.com> SIZE=99999999999")
        assert answer.startswith(b"552 ")


@pytest.mark.parametrize("command", [
    b"MAIL FROM:<a@example.com", b"MAIL FROM:a@example.com>", b"MAIL FROM:<a@b@c>", b"MAIL TO:<a@example.com>",
    b"MAIL FROM:<a@example.com> NOSUCH=1", b"MAIL FROM:<a@example.com> SIZE=x", b"MAIL", b"EHLO",
    b"NOSUCH", b"RCPT TO:<x@example.org> X"])
def test_bad_smtp_commands_are_refused_and_the_session_goes_on(fe1, command):
    with open_raw(fe1, "smtp") as raw:
        assert raw.ask_smtp(command)[:1] == b"5"
        assert raw.ask_smtp(b"NOOP").startswith(b"250 ")


def test_a_client_with_many_errors_is_ended(fe1):
    with open_raw(fe1, "smtp") as raw:
        for _ in range(200):
            if not raw.ask_smtp(b"NOSUCH"):
                return
    pytest.fail("200 bad commands were answered")
