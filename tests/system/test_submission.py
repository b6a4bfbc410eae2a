# SPDX-License-Identifier: Apache-2.0
"""Mail from users: who may log in, as whom he may send, and where it goes.

fe1 asks the account's own backend about a password and has a relay host; fe2 asks the LDAP server and
has none.  With real parts, a user of Dovecot writes to another one.
"""
import base64
import signal
import smtplib
import socket
import subprocess
import time
from contextlib import contextmanager

import pytest

from cluster import Network, clients, wait_until
from scripted import RELAY_PASSWORD, RELAY_USER, SILENCE

WORLD = "somebody@example.com"


@contextmanager
def submission(frontend, tls, implicit=False):
    """A connection inside TLS that nobody has logged in on."""
    if implicit:
        smtp = smtplib.SMTP_SSL(frontend.address, Network.SUBMISSIONS, timeout=60, context=tls)
    else:
        smtp = smtplib.SMTP(frontend.address, Network.SUBMISSION, timeout=60)
    try:
        if not implicit:
            smtp.starttls(context=tls)
        smtp.ehlo("laptop.example.com")
        yield smtp
    finally:
        smtp.close()


def submit(frontend, tls, account, recipients, subject="submitted", sender=None, **how):
    """Logs in and sends; the refused recipients."""
    message = clients.make_message(subject, recipients, sender=sender or account.address)
    with submission(frontend, tls, **how) as smtp:
        smtp.login(account.address, account.password)
        return smtp.sendmail(sender or account.address, recipients, message)


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def answer_to_login(frontend, tls, name, password):
    with submission(frontend, tls) as smtp:
        return smtp.docmd("AUTH", "PLAIN " + encoded(f"\0{name}\0{password}"))


@pytest.fixture(scope="session")
def trusting(scripted_cluster):
    return clients.trusting(scripted_cluster)


@pytest.fixture
def front(stage):
    return stage.frontends["fe1"]


@pytest.fixture
def ldap(stage):
    return stage.frontends["fe2"]


# -- real parts -------------------------------------------------------------------

@pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "implicit"])
def test_a_user_writes_to_another_one(fe1, fresh, tls, arrives, implicit):
    sender, recipient = fresh("sv1"), fresh("sv2")
    assert submit(fe1, tls, sender, [recipient.address], implicit=implicit) == {}
    message = arrives(recipient, "submitted")
    assert b" with ESMTPSA id " in message and b"[127." in message


def test_swaks_submits_as_a_user_by_each_mechanism(cluster, fe1, fresh, arrives):
    sender, recipient = fresh("sv3"), fresh("sv1")
    for mechanism in ("PLAIN", "LOGIN"):
        done = subprocess.run(
            ["swaks", "--server", f"{fe1.address}:{Network.SUBMISSION}", "--tls", "--auth", mechanism,
             "--auth-user", sender.uid, "--auth-password", sender.password, "--from", sender.address,
             "--to", recipient.address, "--header", f"Subject: by {mechanism}"],
            text=True, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        arrives(recipient, f"by {mechanism}")


def curl(frontend, cluster, scheme, port, sender, recipient, *login):
    """Submits with curl; its exit status."""
    return subprocess.run(
        ["curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", cluster.certificates.ca, *login,
         f"{scheme}://{frontend.address}:{port}/laptop.example.com", "--mail-from", sender, "--mail-rcpt", recipient,
         "--upload-file", "-"], input=f"Subject: by curl, {scheme}\r\n\r\nHello.\r\n", text=True,
        capture_output=True, timeout=60).returncode


@pytest.mark.parametrize("scheme, port", [("smtp", Network.SUBMISSION), ("smtps", Network.SUBMISSIONS)])
def test_curl_submits_as_a_user_and_as_nobody_else(cluster, fe1, fresh, arrives, scheme, port):
    sender, recipient = fresh("sv1"), fresh("sv2")
    login = "--user", f"{sender.address}:{sender.password}"
    assert curl(fe1, cluster, scheme, port, sender.address, recipient.address, *login) == 0
    arrives(recipient, f"by curl, {scheme}")
    assert curl(fe1, cluster, scheme, port, recipient.address, sender.address, *login) == 55  # refused
    login = "--user", f"{sender.address}:wrong"
    assert curl(fe1, cluster, scheme, port, sender.address, recipient.address, *login) == 67  # the login


def test_a_password_that_dovecot_does_not_take_is_refused_like_an_unknown_name(fe1, fresh, tls):
    account = fresh("sv1")
    answers, seconds = [], []
    for name, password in ((account.address, "wrong"), ("nobody@example.org", account.password)):
        began = time.monotonic()
        answers.append(answer_to_login(fe1, tls, name, password))
        seconds.append(time.monotonic() - began)
    assert answers == [(535, b"5.7.8 Authentication credentials invalid")] * 2
    assert min(seconds) > 2.9 and abs(seconds[0] - seconds[1]) < 1.5, seconds


def test_a_login_waits_for_its_backend_and_is_then_refused_for_now(fe1, fresh, tls, down):
    account = fresh("sv2")
    down("sv2")
    assert answer_to_login(fe1, tls, account.address, account.password) == \
        (454, b"4.7.0 Temporary authentication failure")


# -- who may send ------------------------------------------------------------------

def test_nobody_relays_without_a_login(front, trusting, unused):
    account = unused("sv1")
    with submission(front, trusting) as smtp:
        assert smtp.docmd("MAIL", f"FROM:<{account.address}>")[0] == 530
        assert smtp.docmd("RCPT", f"TO:<{WORLD}>")[0] == 503
        assert smtp.docmd("DATA")[0] == 503
    with smtplib.SMTP(front.address, Network.SMTP, timeout=30) as smtp:
        smtp.ehlo("laptop.example.com")
        assert not smtp.has_extn("auth")
        assert smtp.docmd("AUTH", "PLAIN " + encoded(f"\0{account.address}\0{account.password}"))[0] == 502
        assert smtp.mail(account.address)[0] == 250
        assert smtp.rcpt(WORLD) == (550, b"5.7.1 Relaying denied")


def test_a_user_sends_only_as_himself(stage, front, trusting, unused):
    account, other = unused("sv1", 2)
    own = [account.address, account.address.upper(), f"{account.uid}+list@example.org", ""]
    foreign = [other.address, "nobody@example.org", WORLD, "postmaster@example.org",
               f"{account.uid}@example.com"]
    with submission(front, trusting) as smtp:
        smtp.login(account.address, account.password)
        for sender in own:
            assert smtp.mail(sender) == (250, b"2.1.0 Ok"), sender
            smtp.rset()
        for sender in foreign:
            assert smtp.mail(sender)[0] in (451, 553), sender
            assert smtp.rcpt(other.address)[0] == 503
        assert smtp.mail(other.address) == (553, b"5.7.1 This is not an address of yours")
    front.await_event("event=sender_refused")


def test_no_spelling_makes_another_sender_an_own_one(stage, front, trusting, unused):
    account, other = unused("sv1", 2)
    own = [f"<@a.example,@b.example:{account.address}>", f'<"{account.uid}"@EXAMPLE.ORG>',
           f"<{account.uid}+{other.uid}@example.org>", f'<"{account.uid[0]}\\{account.uid[1:]}"@example.org>']
    foreign = [f"<@{account.address.replace('@', '.')}:{other.address}>", f"<@example.org:{WORLD}>",
               f"<{other.uid}+{account.uid}@example.org>", f'<"{account.address}"@example.org>',
               f'<"{account.address}"@example.com>', f"<{account.uid}%example.com@example.org>",
               f"<example.com!{account.uid}@example.org>", f"<{account.uid}@[127.0.0.1]>", f'<" {account.uid}"@example.org>',
               f"<{account.uid}@example.org.example.com>", f"<{account.uid}@xn--exmple-cua.org>"]
    broken = [f"<{account.address}.>", f"<{account.address}@example.com>", f"<{account.uid}>", f"<{other.address} {account.address}>",
              f"<{account.address}>,<{other.address}>", account.address, f"<<{account.address}>>", f"<{account.uid}@ex\xe4mple.org>"]
    with submission(front, trusting) as smtp:
        smtp.login(account.address, account.password)
        for path in own:
            assert smtp.docmd("MAIL", "FROM:" + path) == (250, b"2.1.0 Ok"), path
            assert smtp.docmd("MAIL", f"FROM:<{other.address}>")[0] == 503
            smtp.rset()
        for path in foreign:
            assert smtp.docmd("MAIL", "FROM:" + path)[0] in (451, 553), path
        assert smtp.docmd("RCPT", f"TO:<{WORLD}>")[0] == 503
    assert stage.relay.sessions() == []
    for path in broken:
        with submission(front, trusting) as smtp:
            smtp.login(account.address, account.password)
            smtp.command_encoding = "latin-1"
            assert smtp.docmd("MAIL", "FROM:" + path)[0] // 100 == 5, path


def test_a_login_is_one_persons_until_the_end(front, trusting, unused):
    account, other = unused("sv1", 2)
    with submission(front, trusting) as smtp:
        smtp.login(account.address, account.password)
        for line, code in ((f"AUTH PLAIN {encoded(f'{chr(0)}{other.address}{chr(0)}{other.password}')}", 503),
                           ("STARTTLS", 503), (f"XCLIENT LOGIN={other.address}", 550),
                           ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2", 500), ("RSET", 250), ("EHLO again.example", 250)):
            assert smtp.docmd(line)[0] == code, line
            assert smtp.mail(other.address)[0] in (451, 553), line
        assert smtp.mail(account.address)[0] == 250


def test_nothing_of_an_address_makes_a_stranger_a_user(stage, front, unused):
    """Our domain is at the end, or seems to be."""
    paths = ["<somebody%example.com@example.org>", '<"somebody@example.com"@example.org>', '<"somebody@example.com">',
             "<somebody@example.org@example.com>", "<@example.org:somebody@example.com>", "<example.com!somebody@example.org>",
             "<somebody@example.com@example.org>", "<somebody@[127.0.0.1]>", "<@example.org,@example.com:somebody@example.com>",
             "<somebody@example.com> ORCPT=rfc822;user1@example.org", "<somebody@example.com.>"]
    with smtplib.SMTP(front.address, Network.SMTP, timeout=60) as smtp:
        smtp.ehlo("client.example.com")
        assert smtp.mail(unused("sv1").address)[0] == 250
        for path in paths:
            assert smtp.docmd("RCPT", "TO:" + path)[0] // 100 == 5, path
        assert smtp.docmd("DATA")[0] == 554
    assert stage.relay.sessions() == []


def test_a_user_acts_for_nobody_else(front, trusting, unused):
    account, other = unused("sv1", 2)
    with submission(front, trusting) as smtp:
        words = encoded(f"{other.address}\0{account.address}\0{account.password}")
        assert smtp.docmd("AUTH", "PLAIN " + words)[0] == 535


# -- the login -------------------------------------------------------------------------

def test_each_mechanism_is_replayed_at_the_backend(stage, front, trusting, unused):
    account = unused("sv1")
    imap = stage.backends["sv1"].imap
    plain = encoded(f"\0{account.address}\0{account.password}")
    token = encoded(f"user={account.address}\x01auth=Bearer tok\x01\x01")
    bearer = encoded(f"n,a={account.address},\x01auth=Bearer tok\x01\x01")
    dialogues = [[f"AUTH PLAIN {plain}"], ["AUTH PLAIN", plain],
                 ["AUTH LOGIN", encoded(account.address), encoded(account.password)],
                 [f"AUTH LOGIN {encoded(account.address)}", encoded(account.password)],
                 [f"AUTH XOAUTH2 {token}"], ["AUTH XOAUTH2", token], [f"AUTH OAUTHBEARER {bearer}"]]
    for lines in dialogues:
        with submission(front, trusting) as smtp:
            answers = [smtp.docmd(line)[0] for line in lines]
        assert answers == [334] * (len(lines) - 1) + [235], lines
    sessions = imap.sessions()
    assert len(sessions) == len(dialogues)
    wait_until(lambda: all(session.is_over.is_set() for session in sessions), "each is left")
    assert all(session.lines[-1].upper().endswith(b" LOGOUT") for session in sessions)
    assert all(b"x-originating-ip" in bytes(session.received) for session in sessions)


def test_curl_submits_with_a_token(stage, front, unused):
    account, neighbour = unused("sv1"), unused("sv2")
    login = "--user", f"{account.address}:", "--oauth2-bearer", "tok"
    assert curl(front, stage, "smtps", Network.SUBMISSIONS, account.address, neighbour.address, *login) == 0
    wait_until(lambda: stage.backends["sv2"].lmtp.taken(neighbour.address), "it has the message")
    received = b"".join(bytes(session.received) for session in stage.backends["sv1"].imap.sessions())
    assert b" AUTHENTICATE OAUTHBEARER" in received or b" AUTHENTICATE XOAUTH2" in received


def test_a_backend_that_knows_nothing_makes_no_refusal(stage, front, trusting, unused):
    account = unused("sv2")
    imap = stage.backends["sv2"].imap
    for answer in (b"%t NO [UNAVAILABLE] later", SILENCE, b"garbage"):
        imap.play(login=answer)
        assert answer_to_login(front, trusting, account.address, account.password)[0] == 454, answer
    imap.play()
    assert answer_to_login(front, trusting, account.address, account.password)[0] == 235


def test_too_many_wrong_passwords_end_the_session(stage, front, trusting, unused):
    account = unused("sv1")
    stage.backends["sv1"].imap.play(login=b"%t NO [AUTHENTICATIONFAILED] no")
    with submission(front, trusting) as smtp:
        words = "PLAIN " + encoded(f"\0{account.address}\0wrong")
        assert [smtp.docmd("AUTH", words)[0] for _ in range(3)] == [535, 535, 421]
        with pytest.raises((smtplib.SMTPServerDisconnected, OSError)):
            smtp.docmd("NOOP")


def test_line_breaks_in_credentials_reach_no_backend(stage, front, trusting, unused):
    account = unused("sv1")
    for name, password in ((account.address, "a\r\nz LOGOUT"), (account.address, "a\nb"), (account.address, "a\0b"),
                           (f"{account.address}\r\nz LOGOUT", "a")):
        assert answer_to_login(front, trusting, name, password)[0] == 501
    assert stage.backends["sv1"].imap.sessions() == []


def test_what_is_sent_before_tls_is_no_command_inside(front, trusting, unused):
    account = unused("sv1")
    with socket.create_connection((front.address, Network.SUBMISSION), 30) as raw:
        raw.recv(512)
        raw.sendall(b"EHLO x.example\r\n")
        greeting = raw.recv(4096)
        assert b"STARTTLS" in greeting and b"AUTH" not in greeting
        raw.sendall(b"AUTH PLAIN " + encoded(f"\0{account.address}\0{account.password}").encode() + b"\r\n")
        assert raw.recv(512).startswith(b"538 ")
        raw.sendall(b"STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<>\r\n")
        received = b""
        while octets := raw.recv(512):
            received += octets
        assert received.count(b"\r\n") <= 1


# -- where it goes -------------------------------------------------------------------------

def test_mail_to_the_world_goes_to_the_relay_host_by_tls_and_login(stage, front, trusting, unused):
    account, neighbour = unused("sv1"), unused("sv2")
    assert submit(front, trusting, account, [WORLD, neighbour.address]) == {}
    wait_until(lambda: stage.relay.taken(WORLD) and stage.backends["sv2"].lmtp.taken(neighbour.address),
               "both have it", 30)
    session = stage.relay.messages[0].session
    assert session.is_secured and session.credentials == [(RELAY_USER, RELAY_PASSWORD)]
    assert stage.relay.messages[0].recipients == [WORLD]


def test_a_relay_host_that_knows_only_login_is_told_name_and_password_apart(stage, front, trusting, unused):
    relay, account = stage.relay, unused("sv1")
    relay.play(extensions=(b"PIPELINING", b"STARTTLS", b"AUTH LOGIN"))
    assert submit(front, trusting, account, [WORLD]) == {}
    wait_until(lambda: relay.taken(WORLD), "it has the message", 30)
    assert relay.messages[0].session.credentials == [(RELAY_USER, RELAY_PASSWORD)]


@pytest.mark.parametrize("refusal", [{"auth": b"535 5.7.8 no"}, {"mail": b"530 5.7.0 log in first"}],
                         ids=["login", "mail"])
def test_a_relay_host_that_refuses_our_login_makes_no_bounce(stage, front, trusting, unused, refusal):
    relay, account = stage.relay, unused("sv1")
    relay.play(**refusal)
    seen = front.log().count("event=relay_host_refused")
    assert submit(front, trusting, account, [WORLD]) == {}
    wait_until(lambda: front.log().count("event=relay_host_refused") > seen, "it is told", 30)
    assert WORLD in front.queue()
    assert RELAY_PASSWORD.decode() not in front.log()
    relay.play()
    wait_until(lambda: relay.taken(WORLD), "it has the message", 30)
    assert stage.backends["sv1"].lmtp.taken(account.address) == []


# -- by the LDAP server ------------------------------------------------------------------------

def test_the_ldap_server_says_whether_a_password_is_right(stage, ldap, trusting, unused):
    account, neighbour = unused("sv1"), unused("sv2")
    with submission(ldap, trusting) as smtp:
        assert smtp.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
    assert submit(ldap, trusting, account, [neighbour.address]) == {}
    wait_until(lambda: stage.backends["sv2"].lmtp.taken(neighbour.address), "it has the message")
    content = stage.backends["sv2"].lmtp.taken(neighbour.address)[0]
    assert b"ESMTPSA" in content and b"laptop.example.com" not in content and b"([" not in content
    assert answer_to_login(ldap, trusting, account.address, "wrong")[0] == 535
    assert answer_to_login(ldap, trusting, "nobody@example.org", account.password)[0] == 535
    assert not any(connection.credentials for connection in stage.backends["sv1"].imap.connections)


def test_an_ldap_server_that_is_silent_or_away_makes_no_refusal(stage, ldap, trusting, unused):
    account, slapd = unused("sv1"), stage.slapd
    assert answer_to_login(ldap, trusting, account.address, account.password)[0] == 235
    slapd.process.signal(signal.SIGSTOP)
    try:
        assert answer_to_login(ldap, trusting, account.address, account.password)[0] == 454
        with submission(ldap, trusting) as smtp:
            smtp.putcmd("AUTH", "PLAIN " + encoded(f"\0{account.address}\0wrong"))
            slapd.process.kill()
            assert smtp.getreply()[0] == 454
        assert answer_to_login(ldap, trusting, account.address, "wrong")[0] == 454
    finally:
        slapd.process.signal(signal.SIGCONT)
        slapd.start()
    wait_until(lambda: answer_to_login(ldap, trusting, account.address, account.password)[0] == 235, "it is asked again")


def test_an_empty_password_never_binds(ldap, trusting, unused):
    assert answer_to_login(ldap, trusting, unused("sv1").address, "")[0] == 501


def test_many_bind_at_once(ldap, trusting, unused):
    accounts = unused("sv1", 12)
    connections = []
    try:
        for account in accounts:
            smtp = smtplib.SMTP_SSL(ldap.address, Network.SUBMISSIONS, timeout=60, context=trusting)
            smtp.ehlo("laptop.example.com")
            connections.append(smtp)
        for number, (smtp, account) in enumerate(zip(connections, accounts)):
            password = account.password if number % 2 else "wrong"
            smtp.putcmd("AUTH", "PLAIN " + encoded(f"\0{account.address}\0{password}"))
        answers = [smtp.getreply()[0] for smtp in connections]
    finally:
        for smtp in connections:
            smtp.close()
    assert answers == [535, 235] * 6


def test_mail_to_the_world_is_refused_without_a_relay_host(ldap, trusting, unused):
    account = unused("sv1")
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        submit(ldap, trusting, account, [WORLD])
    assert refused.value.recipients == {WORLD: (550, b"5.7.1 Relaying denied")}
