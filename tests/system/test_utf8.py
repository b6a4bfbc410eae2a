# SPDX-License-Identifier: Apache-2.0
"""SMTPUTF8 (RFC 6531): offered where every backend has it, and never sent to one that has not."""
import pytest

from cluster import Network, wait_until
from raw import Raw
from reports import await_reports, parse_report
from scripted import LONGEST_WAIT_S, stuffed, submit

PLAIN = (b"PIPELINING", b"8BITMIME", b"ENHANCEDSTATUSCODES")
WITH_UTF8 = (*PLAIN, b"SMTPUTF8")
CONTENT = "Subject: grüße\r\n\r\nthe bödy\r\n".encode()
SENDER = "jörg@example.net"


@pytest.fixture
def fe1(stage):
    return stage.frontends["fe1"]


def offers_utf8(frontend):
    with Raw(frontend.address, Network.SMTP, seconds=LONGEST_WAIT_S) as raw:
        raw.reply()
        return b"SMTPUTF8" in raw.ask_smtp(b"EHLO client.example.com")


def teach(stage, frontend, unused, **extensions):
    """Has the frontend learn by a delivery what each backend offers."""
    for name, words in extensions.items():
        stage.backends[name].lmtp.play(extensions=words)
        assert submit(frontend, [unused(name).address], b"Subject: x\r\n\r\n").final.startswith(b"250 ")


@pytest.fixture
def taught(stage, fe1, unused):
    """All backends have it, and fe1 knows; afterwards none has, and it knows that too."""
    teach(stage, fe1, unused, sv1=WITH_UTF8, sv2=WITH_UTF8, sv3=WITH_UTF8)
    wait_until(lambda: offers_utf8(fe1), "SMTPUTF8 is offered", 10, 0.1)
    for backend in stage.backends.values():
        backend.lmtp.messages.clear()
    yield
    teach(stage, fe1, unused, sv1=PLAIN, sv2=PLAIN, sv3=PLAIN)
    wait_until(lambda: not offers_utf8(fe1), "SMTPUTF8 is not offered", 10, 0.1)


def submit_utf8(server, recipients, sender=SENDER, content=CONTENT):
    """Sends a message with SMTPUTF8; the replies to RCPT and the last one."""
    with Raw(server.address, Network.SMTP, seconds=LONGEST_WAIT_S) as raw:
        raw.reply()
        raw.ask_smtp(b"EHLO client.example.com")
        assert raw.ask_smtp(f"MAIL FROM:<{sender}> SMTPUTF8 BODY=8BITMIME".encode()).startswith(b"250")
        replies = [raw.ask_smtp(f"RCPT TO:<{address}>".encode()) for address in recipients]
        if not any(reply.startswith(b"250") for reply in replies):
            return replies, b""
        assert raw.ask_smtp(b"DATA").startswith(b"354")
        raw.send(stuffed(content))
        return replies, raw.reply()


def test_it_is_offered_only_while_every_backend_has_it(stage, fe1, unused):
    teach(stage, fe1, unused, sv1=WITH_UTF8, sv2=WITH_UTF8, sv3=PLAIN)
    with Raw(fe1.address, Network.SMTP, seconds=LONGEST_WAIT_S) as raw:
        raw.reply()
        assert b"SMTPUTF8" not in raw.ask_smtp(b"EHLO client.example.com")
        assert raw.ask_smtp(f"MAIL FROM:<{SENDER}>".encode()).startswith(b"553 5.6.7 ")
        assert raw.ask_smtp(b"MAIL FROM:<a@example.net> SMTPUTF8").startswith(b"555 ")
    teach(stage, fe1, unused, sv3=WITH_UTF8)
    wait_until(lambda: offers_utf8(fe1), "SMTPUTF8 is offered", 10, 0.1)
    teach(stage, fe1, unused, sv2=PLAIN)
    wait_until(lambda: not offers_utf8(fe1), "SMTPUTF8 is not offered", 10, 0.1)


def test_it_is_passed_on_with_what_came(stage, fe1, unused, taught):
    account, queued = unused("sv1"), unused("sv2")
    stage.backends["sv2"].lmtp.refuse_connections()
    for each in (account, queued):
        replies, final = submit_utf8(fe1, [each.address])
        assert replies[0].startswith(b"250") and final.startswith(b"250 ")
    assert fe1.queue()[queued.address]["is_utf8"]
    stage.backends["sv2"].lmtp.listen()
    for each in (account, queued):
        lmtp = stage.backends[each.host].lmtp
        wait_until(lambda l=lmtp, a=each.address: l.taken(a), "the message arrives", 20, 0.05)
        message, = lmtp.messages
        assert message.sender.startswith(f"<{SENDER}>".encode()) and message.sender.endswith(b" SMTPUTF8")
        assert b" with UTF8SMTP id " in message.content and message.content.endswith(CONTENT)


def test_a_backend_that_has_it_no_more_refuses_at_once(stage, fe1, unused, taught):
    stage.backends["sv1"].lmtp.play(extensions=PLAIN)
    replies, _ = submit_utf8(fe1, [unused("sv1").address])
    assert replies[0].startswith(b"550 5.6.7 ")
    assert fe1.queue() == {} and stage.backends["sv1"].lmtp.messages == []


@pytest.mark.parametrize("is_ascii", [True, False], ids=["to an ASCII sender", "to a UTF-8 sender"])
def test_what_a_later_attempt_cannot_deliver_is_reported(stage, fe1, unused, taught, is_ascii):
    account, sender = unused("sv1"), unused("sv2").address if is_ascii else SENDER
    stage.backends["sv1"].lmtp.refuse_connections()
    stage.relay.play(extensions=(*WITH_UTF8, b"STARTTLS", b"AUTH PLAIN"))
    assert submit_utf8(fe1, [account.address], sender)[1].startswith(b"250 ")
    stage.backends["sv1"].lmtp.play(extensions=PLAIN)
    stage.backends["sv1"].lmtp.listen()
    server = stage.backends["sv2"].lmtp if is_ascii else stage.relay
    report = parse_report(await_reports(server, sender)[0], "message/global-headers", is_utf8=True)
    assert report.failures[account.address][0] == "5.6.7"
    assert "grüße" in str(report.original["Subject"])
    reported, = [message for message in server.messages if sender in message.recipients]
    assert reported.sender.endswith(b" SMTPUTF8") != is_ascii and b"BODY=8BITMIME" in reported.sender
    assert stage.backends["sv1"].lmtp.messages == []


def test_a_domain_in_u_labels_is_looked_up_as_a_labels(fe1, taught):
    with Raw(fe1.address, Network.SMTP, seconds=LONGEST_WAIT_S) as raw:
        raw.reply()
        raw.ask_smtp(b"EHLO client.example.com")
        raw.ask_smtp(b"MAIL FROM:<a@example.net> SMTPUTF8")
        assert raw.ask_smtp("RCPT TO:<a@bücher.example>".encode()).startswith(b"550 5.7.1 ")
        assert raw.ask_smtp("RCPT TO:<niemänd@example.org>".encode()).startswith(b"550 5.1.1 ")
        assert raw.ask_smtp("RCPT TO:<a@ｅxample.org>".encode()).startswith(b"550 5.1.1 ")  # it is ours
