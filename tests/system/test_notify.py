# SPDX-License-Identifier: Apache-2.0
"""DSN (RFC 3461): what a sender asks to hear of, who tells it, and what goes on to the next server."""
import pytest

from cluster import Network, wait_until
from raw import Raw
from reports import await_reports, parse_report
from scripted import LONGEST_WAIT_S, stuffed

CONTENT = b"Subject: asked\r\n\r\nthe body\r\n"
WITH_DSN = (b"PIPELINING", b"8BITMIME", b"ENHANCEDSTATUSCODES", b"DSN")


@pytest.fixture
def fe1(stage):
    return stage.frontends["fe1"]


@pytest.fixture
def lmtp(stage):
    return stage.backends["sv1"].lmtp


def submit_with(server, recipients, sender, mail="", content=CONTENT):
    """Sends a message; `recipients` are (address, parameters).  The replies to RCPT and the last one."""
    with Raw(server.address, Network.SMTP, seconds=LONGEST_WAIT_S) as raw:
        raw.reply()
        assert b"DSN" in raw.ask_smtp(b"EHLO client.example.com").replace(b"250-", b"").split(b"\n")
        assert raw.ask_smtp(f"MAIL FROM:<{sender}> {mail}".encode()).startswith(b"250")
        replies = [raw.ask_smtp(f"RCPT TO:<{address}> {parameters}".encode()) for address, parameters in recipients]
        assert raw.ask_smtp(b"DATA").startswith(b"354")
        raw.send(stuffed(content))
        return replies, raw.reply()


def commands(message, verb):
    return [line for line in message.session.lines if line.upper().startswith(verb)]


def test_a_backend_with_dsn_gets_what_was_asked_and_reports_itself(stage, fe1, lmtp, unused):
    account, sender = unused("sv1"), unused("sv2")
    lmtp.play(extensions=WITH_DSN)
    _, final = submit_with(fe1, [(account.address.upper(), "NOTIFY=SUCCESS,DELAY")], sender.address,
                           "RET=HDRS ENVID=QQ+20314")
    assert final == b"250 2.0.0 Taken"
    message, = lmtp.messages
    assert commands(message, b"MAIL")[0].endswith(b" RET=HDRS ENVID=QQ+20314")
    assert commands(message, b"RCPT") == [b"RCPT TO:<%s> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;%s" % (
        account.address.encode(), account.address.upper().encode())]
    assert fe1.queue() == {} and stage.backends["sv2"].lmtp.messages == []


def test_a_backend_without_dsn_gets_nothing_of_it_and_we_report_the_success(stage, fe1, lmtp, unused):
    (asked, unasked), sender = unused("sv1", 2), unused("sv2")
    _, final = submit_with(fe1, [(asked.address, "NOTIFY=SUCCESS ORCPT=rfc822;old+2Bname@example.com"),
                                 (unasked.address, "")], sender.address, "ENVID=QQ+20314")
    assert final == b"250 2.0.0 Taken"
    message, = lmtp.messages
    assert not any(b"NOTIFY" in line or b"ORCPT" in line or b"ENVID" in line for line in message.session.lines)
    report = parse_report(await_reports(stage.backends["sv2"].lmtp, sender.address)[0])
    assert report.message["Original-Envelope-Id"] == "QQ 314"
    assert list(report.recipients) == [asked.address]
    fields = report.recipients[asked.address]
    assert fields["Action"] == "delivered" and fields["Status"] == "2.0.0"
    assert fields["Original-Recipient"] == "rfc822; old+name@example.com"
    fe1.await_empty_queue()
    assert len(stage.backends["sv2"].lmtp.messages) == 1


@pytest.mark.parametrize("notify, actions", [("NEVER", []), ("SUCCESS", []), ("FAILURE", ["failed"]), ("", ["failed"])])
def test_a_failure_behind_the_answer_is_told_to_who_wants_it(stage, fe1, lmtp, unused, notify, actions):
    (taken, gone), sender = unused("sv1", 2), unused("sv2")
    lmtp.play(final={gone.address: b"554 5.2.1 disabled"})
    parameter = f"NOTIFY={notify}" if notify else ""
    _, final = submit_with(fe1, [(taken.address, "NOTIFY=NEVER"), (gone.address, parameter)], sender.address)
    assert final.startswith(b"250 ")
    fe1.await_empty_queue()
    reports = [parse_report(octets) for octets in stage.backends["sv2"].lmtp.taken(sender.address)]
    assert [fields["Action"] for report in reports for fields in report.recipients.values()] == actions


def test_ret_full_returns_the_message_and_hdrs_its_header(stage, fe1, lmtp, unused):
    for ret, kind in (("FULL", "message/rfc822"), ("HDRS", "text/rfc822-headers")):
        (taken, gone), sender = unused("sv1", 2), unused("sv2")
        lmtp.play(final={gone.address: b"554 5.2.1 disabled"})
        content = b"Subject: \xe4\r\nX-A: b\r\n\r\nthe b\xf6dy\r\n.\r\n"
        submit_with(fe1, [(taken.address, ""), (gone.address, "")], sender.address, f"RET={ret} BODY=8BITMIME", content)
        octets, = await_reports(stage.backends["sv2"].lmtp, sender.address)
        report = parse_report(octets, kind)
        assert report.original["X-A"] == "b"
        assert (b"the b\xf6dy\r\n.\r\n" in octets) == (ret == "FULL")
        last = stage.backends["sv2"].lmtp.messages[-1]
        assert (b"BODY=8BITMIME" in last.sender) == (ret == "FULL")


def test_what_was_asked_goes_through_the_queue_and_a_restart(stage, fe1, lmtp, unused):
    account, sender = unused("sv1"), unused("sv2")
    lmtp.refuse_connections()
    submit_with(fe1, [(account.address, "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x@example.com")], sender.address,
                "RET=FULL ENVID=id1")
    queued = fe1.queue()[account.address]
    assert (queued["notify"], queued["orcpt"]) == ("SUCCESS,FAILURE", "rfc822;x@example.com")
    assert (queued["ret"], queued["envid"], queued["is_utf8"]) == ("FULL", "id1", False)
    shown = fe1.admin().text("queue", "show", queued["id"])
    assert "SUCCESS,FAILURE" in shown and "rfc822;x@example.com" in shown and "id1" in shown
    fe1.stop()
    fe1.start()
    lmtp.play(extensions=WITH_DSN)
    lmtp.listen()
    fe1.await_empty_queue()
    message, = lmtp.messages
    assert commands(message, b"MAIL")[0].endswith(b" RET=FULL ENVID=id1")
    assert commands(message, b"RCPT")[0].endswith(b" NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x@example.com")
    assert stage.backends["sv2"].lmtp.messages == []


@pytest.mark.parametrize("has_dsn", [True, False])
def test_the_relay_host_reports_or_we_say_that_we_relayed(stage, fe1, forward, unused, has_dsn):
    entry, sender = forward, unused("sv2")
    if has_dsn:
        stage.relay.play(extensions=(*WITH_DSN, b"STARTTLS", b"AUTH PLAIN"))
    _, final = submit_with(fe1, [(entry, "NOTIFY=SUCCESS")], sender.address)
    assert final.startswith(b"250 ")
    wait_until(lambda: stage.relay.taken(entry), "the relay host has it", 20)
    fe1.await_empty_queue()
    relayed = next(message for message in stage.relay.messages if entry in message.recipients)
    assert any(b"NOTIFY=SUCCESS" in line for line in commands(relayed, b"RCPT")) == has_dsn
    reports = [parse_report(octets) for octets in stage.backends["sv2"].lmtp.taken(sender.address)]
    assert [report.recipients[entry]["Action"] for report in reports] == ([] if has_dsn else ["relayed"])
