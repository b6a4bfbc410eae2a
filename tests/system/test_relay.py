# SPDX-License-Identifier: Apache-2.0
"""What leaves the cluster by the relay host, and what must wait because there is none."""
import base64
from concurrent.futures import ThreadPoolExecutor

import pytest

from cluster import Network, clients, wait_until
from raw import Raw
from reports import await_reports, parse_report
from scripted import CLOSE, FORWARD, RELAY_PASSWORD, RELAY_USER, submit

CONTENT = b"Subject: for the world\r\nX-Long: " + b"x" * 900 + b"\r\n\r\n.dots\r\n..\r\n"


@pytest.fixture
def fe1(stage):
    return stage.frontends["fe1"]


def fail_one(stage, frontend, unused, sender):
    """Has one of two recipients fail, so that a report to `sender` is due; the address that failed."""
    taken, gone = unused("sv1", 2)
    stage.backends["sv1"].lmtp.play(final={gone.address: b"550 5.2.1 disabled"})
    assert submit(frontend, [taken.address, gone.address], CONTENT, sender).final.startswith(b"250 ")
    return gone.address


def test_mail_for_a_relayed_entry_goes_to_the_relay_host_by_tls_and_login(stage, fe1, forward):
    answers = submit(fe1, [forward], CONTENT, "a@example.net", " BODY=8BITMIME")
    assert answers.final.startswith(b"250 ")
    fe1.await_empty_queue()
    message, = stage.relay.messages
    assert clients.without_trace(message.content) == CONTENT
    assert message.recipients == [forward] and message.sender.startswith(b"<a@example.net>")
    assert message.session.is_secured
    assert message.session.credentials == [(RELAY_USER, RELAY_PASSWORD)]
    # In the clear nothing was said but the two commands that lead to TLS.
    assert [line.split()[0] for line in message.session.lines[:3]] == [b"EHLO", b"STARTTLS", b"EHLO"]


def test_a_relayed_entry_and_accounts_in_one_message(stage, fe1, forward, unused):
    first, second = unused("sv1"), unused("sv2")
    assert submit(fe1, [first.address, forward, second.address], CONTENT).final.startswith(b"250 ")
    fe1.await_empty_queue()
    for server, address in ((stage.backends["sv1"].lmtp, first.address), (stage.relay, forward),
                            (stage.backends["sv2"].lmtp, second.address)):
        assert [clients.without_trace(content) for content in server.taken(address)] == [CONTENT]


def test_mail_waits_for_a_relay_host_that_is_not_as_it_should_be(stage, fe1, forward):
    """Nothing is said in the clear meanwhile, and the password is in no log."""
    relay, good = stage.relay, stage.relay.certificate
    wrong = stage.certificates.certificate("wrong"), stage.certificates.key("wrong")
    relay.play(greeting=b"554 5.3.2 no")
    assert submit(fe1, [forward], CONTENT).final.startswith(b"250 ")
    for certificate, script in ((good, {"starttls": b"454 4.7.0 not now"}), (good, {"extensions": (b"AUTH PLAIN",)}),
                                (wrong, {"auth": b"454 4.7.0 later"}), (good, {"auth": b"535 5.7.8 no"}),
                                (good, {"auth": b"garbage"}), (good, {"auth": CLOSE})):
        relay.certificate = certificate
        relay.play(**script)
        await_try(relay)
    assert list(fe1.queue()) == [forward] and relay.messages == []
    relay.play()
    fe1.await_empty_queue()
    assert len(relay.taken(forward)) == 1
    for session in relay.connections:
        assert session.is_secured or not any(line.startswith((b"AUTH", b"MAIL")) for line in session.lines)
    secret = base64.b64encode(b"\0" + RELAY_USER + b"\0" + RELAY_PASSWORD)
    for file in (stage.folder / "log").iterdir():
        log = file.read_bytes()
        assert b"s3cret" not in log and RELAY_PASSWORD not in log and secret not in log, file


def await_try(server):
    """Waits until a session by the script of now is over."""
    wait_until(lambda: any(connection.script is server.script and connection.is_over.is_set()
                           for connection in server.connections), f"{server.script} is tried", 10)


def test_a_relay_host_that_refuses_for_good_makes_a_report_to_the_account(stage, fe1, forward, unused):
    sender = unused("sv3")
    stage.relay.play(rcpt={forward: b"550 5.7.1 not from you"})
    assert submit(fe1, [forward], CONTENT, sender.address).final.startswith(b"250 ")
    octets, = await_reports(stage.backends["sv3"].lmtp, sender.address)
    report = parse_report(octets)
    assert report.failures == {forward: ("5.7.1", "smtp; 550 5.7.1 not from you")}
    assert report.message["Reporting-MTA"] == f"dns; {fe1.hostname()}"
    assert report.original["Subject"] == "for the world"
    assert report.header["To"] == sender.address or sender.address in report.header["To"]
    fe1.await_empty_queue()


def test_a_report_to_the_world_goes_by_the_relay_host(stage, fe1, unused):
    gone = fail_one(stage, fe1, unused, "someone@far.example")
    octets, = await_reports(stage.relay, "someone@far.example")
    assert parse_report(octets).failures == {gone: ("5.2.1", "smtp; 550 5.2.1 disabled")}
    fe1.await_empty_queue()


def test_a_report_that_is_refused_makes_no_report(stage, fe1, unused):
    stage.relay.play(rcpt={"nobody@far.example": b"550 5.1.1 no such user"})
    fail_one(stage, fe1, unused, "nobody@far.example")
    wait_until(lambda: stage.relay.sessions(), "the report is tried", 10)
    fe1.await_empty_queue()
    assert stage.relay.messages == []


def test_without_a_relay_host_a_report_to_the_world_is_held_and_alarmed(stage, unused):
    fe2 = stage.frontends["fe2"]
    fail_one(stage, fe2, unused, "someone@far.example")
    waiting = wait_until(lambda: [one for one in fe2.queue().values() if one["state"] == "held"], "it is held", 10)
    assert waiting[0]["address"] == "someone@far.example" and waiting[0]["reverse_path"] == ""
    fe2.await_event("event=queue_report_held")
    account = unused("sv3")
    gone = fail_one(stage, fe2, unused, account.address)
    octets, = await_reports(stage.backends["sv3"].lmtp, account.address)
    assert list(parse_report(octets).failures) == [gone]
    fe2.admin().text("queue", "flush")
    assert [one["state"] for one in fe2.queue().values()] == ["held"]


def test_without_a_relay_host_mail_for_a_relayed_entry_is_refused_temporarily(stage, forward):
    assert submit(stage.frontends["fe2"], [forward], CONTENT).recipients[0].startswith(b"451 4.3.0 ")


def test_nobody_relays_through_us(stage, fe1):
    answers = submit(fe1, ["someone@far.example"], CONTENT)
    assert answers.recipients[0].startswith(b"550 5.7.1 ") and answers.data == b""
    assert stage.relay.sessions() == []


# -- TLS towards the backends ------------------------------------------------------
@pytest.fixture
def fe3(stage):
    return stage.frontends["fe3"]


def test_mail_goes_to_a_backend_inside_tls(stage, fe3, unused):
    account, lmtp = unused("sv2"), stage.backends["sv2"].lmtp
    assert submit(fe3, [account.address], CONTENT).final == b"250 2.0.0 Taken"
    session = lmtp.messages[0].session
    assert session.is_secured and clients.without_trace(lmtp.messages[0].content) == CONTENT
    assert [line.split()[0] for line in session.lines[:3]] == [b"LHLO", b"STARTTLS", b"LHLO"]


def test_neither_mail_nor_passwords_go_to_a_backend_without_good_tls(stage, fe3, unused):
    """sv1 has another's certificate, sv2 offers no TLS, sv3 goes on in the clear behind its own answer."""
    goods = {server: server.certificate for backend in stage.backends.values() for server in backend.servers()}
    sv1, sv2, sv3 = stage.backends.values()
    for server in sv1.servers():
        server.certificate = stage.certificates.certificate("wrong"), stage.certificates.key("wrong")
    sv2.lmtp.play(extensions=(b"PIPELINING",))
    sv2.imap.play(starttls=b"%t BAD what?")
    sv2.pop3.play(starttls=b"-ERR what?")
    sv3.lmtp.play(starttls=b"220 go\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go")
    sv3.imap.play(starttls=b"%t OK go\r\na OK welcome")
    sv3.pop3.play(starttls=b"+OK go\r\n+OK\r\n+OK welcome")
    accounts = [unused(name) for name in stage.backends]
    try:
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(lambda account: try_without_tls(fe3, account), accounts))
        assert set(fe3.queue()) == {account.address for account in accounts}
        for account in accounts:
            for server in stage.backends[account.host].servers():
                assert server.connections and server.messages == []
                for session in server.connections:
                    assert session.credentials == [] and b"@" not in session.received
                    assert account.password.encode() not in session.received
    finally:
        for server, good in goods.items():
            server.certificate = good
            server.play()
    fe3.await_empty_queue()
    assert [len(stage.backends[account.host].lmtp.taken(account.address)) for account in accounts] == [1, 1, 1]


def try_without_tls(frontend, account):
    with Raw(frontend.address, Network.IMAP) as imap, Raw(frontend.address, Network.POP3) as pop3:
        imap.line()
        pop3.line()
        imap.send(f"a LOGIN {account.address} {account.password}\r\n".encode())
        pop3.send(f"USER {account.address}\r\nPASS {account.password}\r\n".encode())
        assert submit(frontend, [account.address], CONTENT).final.startswith(b"250 ")
        assert imap.line().startswith(b"a NO [UNAVAILABLE]")
        assert [pop3.line()[:3], pop3.line()[:15]] == [b"+OK", b"-ERR [SYS/TEMP]"]


# -- groups and forwards -----------------------------------------------------------
GROUP = """\
dn: uid={name},ou=people,dc=example,dc=org
objectClass: inetOrgPerson
objectClass: mailsteadAccount
uid: {name}
cn: {name}
sn: {name}
mail: {name}@example.org
employeeType: forward
hostServer: sv1
"""


def lookup_says(frontend, address, word):
    return lambda: word in frontend.admin().text("lookup", address)


def test_a_group_with_a_backend_goes_there_unexpanded(stage, fe1, scripted_cluster):
    scripted_cluster.slapd.add(GROUP.format(name="group"))
    wait_until(lookup_says(fe1, "group@example.org", "sv1"), "the group is known", 10)
    assert submit(fe1, ["group@example.org"], CONTENT).final == b"250 2.0.0 Taken"
    message, = stage.backends["sv1"].lmtp.messages
    assert message.recipients == ["group@example.org"] and stage.relay.messages == []


def test_a_forward_without_a_relay_host_waits_with_its_sender(stage, forward):
    """Somebody has to configure one: temporary, and an alarm; nothing is lost, nothing bounces."""
    fe2 = stage.frontends["fe2"]
    answers = submit(fe2, [forward], CONTENT)
    assert [reply[:9] for reply in answers.recipients] == [b"451 4.3.0"]
    assert forward not in fe2.queue()
    log = (stage.folder / "log" / "mailstead-frontend-fe2.log").read_text(errors="replace")
    assert any(" error " in line and "event=account_misconfigured" in line and forward in line
               and "no relay_host is configured" in line for line in log.splitlines())


def test_forwards_appear_and_disappear_while_mail_comes(stage, fe1, scripted_cluster):
    slapd, address = scripted_cluster.slapd, "comes@example.org"
    assert submit(fe1, [address], CONTENT).recipients[0].startswith(b"550 5.1.1 ")
    slapd.add(FORWARD.format(name="comes"))
    wait_until(lookup_says(fe1, address, "relay"), "the forward is known", 10)
    assert submit(fe1, [address], CONTENT).final.startswith(b"250 ")
    wait_until(lambda: stage.relay.taken(address), "the relay host has it", 20)
    slapd.modify("dn: uid=comes,ou=people,dc=example,dc=org\nchangetype: modify\n"
                 "add: hostServer\nhostServer: sv2\n")
    wait_until(lookup_says(fe1, address, "sv2"), "its backend is known", 10)
    assert submit(fe1, [address], CONTENT).final == b"250 2.0.0 Taken"
    assert stage.backends["sv2"].lmtp.taken(address)
    slapd.modify("dn: uid=comes,ou=people,dc=example,dc=org\nchangetype: delete\n")
    wait_until(lambda: submit(fe1, [address], CONTENT).recipients[0].startswith(b"550 5.1.1 "), "it is gone", 10)
