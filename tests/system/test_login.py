# SPDX-License-Identifier: Apache-2.0
"""IMAP and POP3 logins at the frontends, with Python's clients."""
import base64
import imaplib
import poplib
import time

import pytest

from cluster import Network, clients
from cluster.accounts import hash_password
from raw import Raw

HOSTS = ["sv1", "sv2", "sv3"]


def how_options(how, tls):
    return {"plain": {}, "starttls": {"tls": tls}, "implicit": {"implicit": tls}}[how]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("how", ["plain", "starttls", "implicit"])
def test_imap_login_reaches_the_owner(frontend, fresh, tls, host, how):
    imap = clients.imap_login(frontend, fresh(host), **how_options(how, tls))
    assert imap.noop()[0] == "OK"
    assert imap.select("INBOX") == ("OK", [b"0"])
    imap.logout()


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("how", ["plain", "starttls", "implicit"])
def test_pop3_login_reaches_the_owner(frontend, fresh, tls, host, how):
    pop = clients.pop3_login(frontend, fresh(host), **how_options(how, tls))
    assert pop.stat() == (0, 0)
    pop.quit()


@pytest.mark.parametrize("name", ["uid", "alias", "address"])
def test_login_names_follow_the_directory(fe1, fresh, name):
    account = fresh("sv2")
    chosen = getattr(account, name)
    clients.imap_login(fe1, account, name=chosen).logout()
    clients.imap_login(fe1, account, name=chosen.upper()).logout()
    clients.pop3_login(fe1, account, name=chosen).quit()


def test_imap_capabilities_after_login_are_the_backends(cluster, fe1, fresh):
    account = fresh("sv1")
    login = f"LOGIN {account.address} {account.password}".encode()
    capabilities = []
    for server, port in ((fe1, Network.IMAP), (cluster.backends["sv1"], Network.STORE_IMAP)):
        with Raw(server.address, port) as raw:
            raw.line()
            assert raw.ask_tagged(b"a", login)[-1].startswith(b"a OK")
            capabilities.append(raw.ask_tagged(b"b", b"CAPABILITY")[0])
    assert capabilities[0] == capabilities[1]


@pytest.mark.parametrize("initial_response", [True, False])
def test_imap_authenticate_plain(fe1, fresh, initial_response):
    account = fresh("sv1")
    secret = base64.b64encode(f"\0{account.address}\0{account.password}".encode())
    with Raw(fe1.address, Network.IMAP) as raw:
        raw.line()
        if initial_response:
            raw.send(b"a AUTHENTICATE PLAIN " + secret + b"\r\n")
        else:
            assert raw.ask(b"a AUTHENTICATE PLAIN").startswith(b"+")
            raw.send(secret + b"\r\n")
        assert raw.until(b"a ")[-1].startswith(b"a OK")


@pytest.mark.parametrize("initial_response", [True, False])
def test_pop3_auth_plain(fe1, fresh, initial_response):
    account = fresh("sv3")
    secret = base64.b64encode(f"\0{account.address}\0{account.password}".encode())
    with Raw(fe1.address, Network.POP3) as raw:
        raw.line()
        if initial_response:
            answer = raw.ask(b"AUTH PLAIN " + secret)
        else:
            assert raw.ask(b"AUTH PLAIN").startswith(b"+ ")
            answer = raw.ask(secret)
        assert answer.startswith(b"+OK")
        assert raw.ask(b"STAT") == b"+OK 0 0"


@pytest.mark.parametrize("form", [b"{%d}\r\n", b"{%d+}\r\n"])
def test_imap_login_with_literals(fe1, fresh, form):
    account = fresh("sv2")
    name, password = account.address.encode(), account.password.encode()
    with Raw(fe1.address, Network.IMAP) as raw:
        assert raw.line().startswith(b"* OK")
        capability = raw.ask_tagged(b"c", b"CAPABILITY")[0]
        if b"+" in form and b"LITERAL+" not in capability:
            pytest.skip("LITERAL+ is not offered")
        raw.send(b"a LOGIN " + form % len(name))
        if b"+" not in form:
            assert raw.line().startswith(b"+")
        raw.send(name + b" " + form % len(password))
        if b"+" not in form:
            assert raw.line().startswith(b"+")
        raw.send(password + b"\r\n")
        assert raw.until(b"a ")[-1].startswith(b"a OK")


def test_imap_commands_before_login(fe1):
    with Raw(fe1.address, Network.IMAP) as raw:
        assert raw.line().startswith(b"* OK")
        assert raw.ask(b"a NOOP").startswith(b"a OK")
        capability, done = raw.ask_tagged(b"b", b"CAPABILITY")
        assert capability.startswith(b"* CAPABILITY IMAP4rev1") and b"STARTTLS" in capability
        assert done.startswith(b"b OK")
        assert raw.ask_tagged(b"c", b'ID ("name" "test")')[-1].startswith(b"c OK")
        assert raw.ask(b"d SELECT INBOX").startswith((b"d NO", b"d BAD"))
        assert raw.ask(b"e LOGOUT").startswith(b"* BYE")
        assert raw.line().startswith(b"e OK")
        assert raw.line() == b""


def test_pop3_commands_before_login(fe1):
    with Raw(fe1.address, Network.POP3) as raw:
        assert raw.line().startswith(b"+OK")
        assert raw.ask(b"CAPA").startswith(b"+OK")
        capabilities = raw.until(b".")
        assert b"STLS" in capabilities and b"USER" in capabilities
        assert raw.ask(b"STAT").startswith(b"-ERR")
        assert raw.ask(b"QUIT").startswith(b"+OK")
        assert raw.line() == b""


def test_login_works_after_a_wrong_password_in_the_same_session(fe1, fresh):
    account = fresh("sv1")
    imap = imaplib.IMAP4(fe1.address, Network.IMAP, timeout=30)
    with pytest.raises(imaplib.IMAP4.error):
        imap.login(account.address, "wrong")
    assert imap.login(account.address, account.password)[0] == "OK"
    imap.logout()


def test_pop3_login_works_after_a_wrong_password_in_the_same_session(fe1, fresh):
    account = fresh("sv1")
    pop = poplib.POP3(fe1.address, Network.POP3, timeout=30)
    with pytest.raises(poplib.error_proto):
        pop.user(account.address)
        pop.pass_("wrong")
    pop.user(account.address)
    assert pop.pass_(account.password).startswith(b"+OK")
    pop.quit()


@pytest.mark.parametrize("password", ['with "quotes"', "back\\slash", "sp ace", "{5}", "ümläut"])
def test_any_password_is_replayed_as_it_is(cluster, fe1, fresh, password):
    account = fresh("sv2")
    cluster.slapd.modify(f"dn: {account.dn}\nchangetype: modify\nreplace: userPassword\n"
                         f"userPassword: {hash_password(password)}\n")
    cluster.replica.wait_for_provider()
    secret = base64.b64encode(f"\0{account.address}\0{password}".encode())
    with Raw(fe1.address, Network.IMAP) as raw:
        raw.line()
        raw.send(b"a AUTHENTICATE PLAIN " + secret + b"\r\n")
        assert raw.until(b"a ")[-1].startswith(b"a OK")
    if password.isascii():
        clients.pop3_login(fe1, account, password=password).quit()


def test_imap_idle_is_told_of_new_mail_through_the_relay(fe1, fe2, fresh):
    account = fresh("sv3")
    imap = clients.imap_login(fe1, account)
    imap.select("INBOX")
    imap.send(b"z IDLE\r\n")
    assert imap.readline().startswith(b"+")
    clients.send(fe2, [account.address], clients.make_message("wake up", [account.address]))
    assert b"EXISTS" in imap.readline()
    imap.send(b"DONE\r\n")
    imap.shutdown()


def test_a_large_message_passes_the_relay_unchanged(fe1, fresh, tls):
    account = fresh("sv1")
    imap = clients.imap_login(fe1, account, implicit=tls)
    message = clients.make_message("large", [account.address], "0123456789" * 7 + "\n", "a@example.com") \
        + b"x" * 70 + b"\r\n" + (b"line of a large message, again and again\r\n" * 100_000)
    assert imap.append("INBOX", None, None, message)[0] == "OK"
    imap.logout()
    assert clients.read_by_imap(fe1, account) == [message]
    assert clients.read_by_pop3(fe1, account, tls=tls) == [message]


def test_a_login_at_a_dead_backend_is_refused_temporarily(fe1, fresh, down):
    account = fresh("sv3")
    down("sv3")
    began = time.monotonic()
    with Raw(fe1.address, Network.IMAP) as raw:
        raw.line()
        answer = raw.ask(f"a LOGIN {account.address} {account.password}".encode())
    assert answer.startswith(b"a NO [UNAVAILABLE]")
    with Raw(fe1.address, Network.POP3) as raw:
        raw.line()
        raw.ask(f"USER {account.address}".encode())
        assert raw.ask(f"PASS {account.password}".encode()).startswith(b"-ERR [SYS/TEMP]")
    assert time.monotonic() - began < 20
    clients.imap_login(fe1, fresh("sv1")).logout()
