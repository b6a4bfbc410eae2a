# SPDX-License-Identifier: Apache-2.0
"""What arrives is what was sent, to everyone it was sent to; and what is too much is bounded."""
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster import wait_until
from reports import await_reports, parse_report
from scripted import CLOSE, SILENCE, begin, stuffed, submit

LINE = b"0123456789" * 7 + b"\r\n"
MEBIBYTE = 1 << 20


@pytest.fixture
def fe1(stage):
    return stage.frontends["fe1"]


@pytest.fixture
def lmtp(stage):
    return stage.backends["sv1"].lmtp


# -- contents ----------------------------------------------------------------------
CONTENTS = {
    "nothing": b"",
    "a dot": b".\r\n",
    "dots": b"Subject: x\r\n\r\n" + b".\r\n..\r\n...\r\n.a\r\n..b\r\n \r\n.\r\n" * 50,
    "only dots": b".\r\n" * 1000,
    "no header": b"\r\njust text\r\n",
    "no body": b"Subject: x\r\n",
    "long line": b"Subject: x\r\n\r\n" + b"x" * 1_000_000 + b"\r\n",
    "long line of dots": b"." * 300_000 + b"\r\n",
    "long header": b"X: " + b"y " * 200_000 + b"\r\n\r\nbody\r\n",
    "empty lines": b"Subject: x\r\n\r\n" + b"\r\n" * 5000,
    "every octet": b"Subject: x\r\n\r\n"
                   + b"\r\n".join(bytes([octet]) * 3 for octet in range(256) if octet not in (10, 13)) + b"\r\n",
    "NUL": b"Subject: \0x\r\n\r\n\0\r\n.\0\r\n",
    "not UTF-8": b"Subject: \xff\xfe\xc0\r\n\r\n\xe4\xf6\xfc\r\n",
    "inside out": b"Subject: x\r\n\r\n.\r\n.\r\n\r\n.\r\nRCPT TO:<a@b>\r\nQUIT\r\n.\r\n",
    "looks like trace": b"Received: from x by y; Mon, 1 Jan 2024 00:00:00 +0000\r\nSubject: x\r\n\r\nbody\r\n",
    "256 KB": LINE * (256 * 1024 // len(LINE)) + b"the end\r\n",
}


def without_our_trace(content):
    """The content without the one field that we put in front of it."""
    return re.sub(rb"\AReceived: [^\r]*\r\n(?:[ \t][^\r]*\r\n)*", b"", content)


def test_any_content_arrives_as_it_was_sent(stage, fe1, lmtp, unused):
    """Cut through, by DATA and in chunks (sv3), and by the queue."""
    accounts = {}
    stage.backends["sv2"].lmtp.refuse_connections()
    for name, content in CONTENTS.items():
        accounts[name] = unused("sv1"), unused("sv2"), unused("sv3")
        for account in accounts[name]:
            assert submit(fe1, [account.address], content).final.startswith(b"250 "), name
    stage.backends["sv2"].lmtp.listen()
    fe1.await_empty_queue()
    for name, content in CONTENTS.items():
        for account in accounts[name]:
            arrived, = stage.backends[account.host].lmtp.taken(account.address)
            assert without_our_trace(arrived) == content, name
    said = [line[:4] for session in stage.backends["sv3"].lmtp.sessions() for line in session.lines]
    assert said.count(b"BDAT") > said.count(b"DATA") > 0


def test_content_in_the_smallest_pieces_arrives_as_it_was_sent(fe1, lmtp, unused):
    account = unused("sv1")
    content = b"Subject: x\r\n\r\n.\r\n..\r\n\r\n.x\r\n"
    raw, _ = begin(fe1, [account.address])
    with raw:
        for octet in stuffed(content):
            raw.send(bytes([octet]))
        assert raw.reply() == b"250 2.0.0 Taken"
    assert [without_our_trace(message) for message in lmtp.taken(account.address)] == [content]


@pytest.mark.parametrize("extensions", [(), (b"8BITMIME",), (b"PIPELINING",), (b"SIZE 100000000", b"8BITMIME")],
                         ids=lambda words: b"-".join(words).decode() or "none")
def test_a_backend_gets_only_what_it_offers(fe1, lmtp, unused, extensions):
    accounts = unused("sv1", 5)
    lmtp.play(extensions=extensions)
    content = b"Subject: \xfc\r\n\r\n\xff\r\n"
    body = " BODY=8BITMIME" if b"8BITMIME" in extensions else ""
    answers = submit(fe1, [account.address for account in accounts], content, "a@example.net", f"{body} SIZE=25")
    assert answers.final == b"250 2.0.0 Taken"
    message, = lmtp.messages
    assert not message.session.was_hasty
    assert without_our_trace(message.content) == content
    parameters = message.sender.partition(b">")[2].split()
    assert (b"BODY=8BITMIME" in parameters) == (b"8BITMIME" in extensions)
    assert any(word.startswith(b"SIZE=") for word in parameters) == any(b"SIZE" in word for word in extensions)


def test_declared_8bit_content_is_refused_for_a_backend_that_does_not_take_it(fe1, lmtp, unused):
    account = unused("sv1")
    lmtp.play(extensions=())
    answers = submit(fe1, [account.address], b"Subject: x\r\n\r\n\xff\r\n", "a@example.net", " BODY=8BITMIME")
    assert [reply[:9] for reply in answers.recipients] == [b"554 5.6.3"]
    assert fe1.queue() == {} and lmtp.messages == []


def test_a_message_that_is_too_large_for_its_backend_is_refused_before_it_comes(fe1, lmtp, unused):
    """Where the client announces the size, and the backend its limit."""
    account, other = unused("sv1", 2)
    lmtp.play(extensions=(b"SIZE 1000", b"8BITMIME"))
    answers = submit(fe1, [account.address], CONTENTS["256 KB"], "a@example.net", " SIZE=1001")
    assert [reply[:9] for reply in answers.recipients] == [b"552 5.3.4"]
    assert submit(fe1, [other.address], b"Subject: x\r\n\r\n", "a@example.net", " SIZE=1000").final.startswith(b"250 ")
    assert len(lmtp.messages) == 1 and lmtp.messages[0].sender.endswith(b" SIZE=1000")


@pytest.mark.parametrize("reply, passed", [
    (b"550 no such mailbox", b"550 5.0.0 no such mailbox"), (b"450 later", b"450 4.0.0 later"),
    (b"550 5.2.1 disabled", b"550 5.2.1 disabled")])
def test_a_reply_without_an_enhanced_code_gets_one(fe1, lmtp, unused, reply, passed):
    account = unused("sv1")
    lmtp.play(rcpt={account.address: reply}, extensions=(b"PIPELINING",))
    assert submit(fe1, [account.address], b"x\r\n").recipients == [passed]


def test_a_backend_without_extensions_gets_queued_mail_too(fe1, lmtp, unused):
    accounts = unused("sv1", 5)
    lmtp.refuse_connections()
    answers = submit(fe1, [account.address for account in accounts], b"Subject: x\r\n\r\n\xff\r\n")
    assert answers.final.startswith(b"250 ")
    lmtp.play(extensions=())
    lmtp.listen()
    fe1.await_empty_queue()
    assert not any(message.session.was_hasty for message in lmtp.messages)
    assert [len(lmtp.taken(account.address)) for account in accounts] == [1] * 5


# -- limits ------------------------------------------------------------------------
def test_a_message_that_goes_round_and_round_is_refused(fe1, lmtp, unused):
    account = unused("sv1")
    hop = b"received :from a by b;\r\n Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    assert submit(fe1, [account.address], hop * 50 + b"Subject: x\r\n\r\nbody\r\n").final.startswith(b"250 ")
    answers = submit(fe1, [account.address], hop * 51 + b"Subject: x\r\n\r\nbody\r\n")
    assert answers.final.startswith(b"554 5.4.6 ")
    assert len(lmtp.messages) == 1 and fe1.queue() == {}


def test_a_message_that_is_too_large_is_refused_by_its_announcement_or_its_end(fe1, lmtp, unused):
    account = unused("sv1")
    answers = submit(fe1, [account.address], b"", parameters=" SIZE=52428801")
    assert answers.mail.startswith(b"552 5.3.4 ") and answers.data == b""
    raw, answers = begin(fe1, [account.address], parameters=" SIZE=1000")
    with raw:
        block = b"x" * (MEBIBYTE - 2) + b"\r\n"
        for _ in range(51):
            raw.send(block)
        raw.send(b".\r\n")
        assert raw.reply().startswith(b"552 5.3.4 ")
        assert raw.ask_smtp(b"NOOP").startswith(b"250 ")
    assert lmtp.messages == [] and fe1.queue() == {}


def memory_kb(frontend):
    """The resident size of the worker."""
    worker, = frontend.children("worker")
    status = Path(f"/proc/{worker}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1])


def test_a_slow_backend_slows_the_client_and_costs_no_memory(stage, lmtp, unused):
    """49 MB pass a worker that may hold 1 MB of them, while the backend does not read."""
    fe2, account, gate = stage.frontends["fe2"], unused("sv1"), threading.Event()
    lmtp.play(content=gate, receive_buffer=65536)
    before = memory_kb(fe2)
    raw, _ = begin(fe2, [account.address])
    block = LINE * (MEBIBYTE // len(LINE))
    sent = []

    def send_all():
        raw.send(b"\r\n")  # behind the header
        for _ in range(49):
            raw.send(block)
            sent.append(len(block))
        raw.send(b".\r\n")

    with raw, ThreadPoolExecutor(1) as threads:
        sending = threads.submit(send_all)
        try:
            seen = []
            wait_until(lambda: seen.append(len(sent)) or seen[-3:] == [len(sent)] * 3, "the client is stopped",
                       10, 0.2)
            assert 0 < len(sent) < 30
            assert memory_kb(fe2) - before < 8 * 1024
        finally:
            gate.set()
        sending.result()
        assert memory_kb(fe2) - before < 12 * 1024
        assert raw.reply() == b"250 2.0.0 Taken"
    arrived, = lmtp.taken(account.address)
    assert without_our_trace(arrived) == b"\r\n" + block * 49


# -- many at once --------------------------------------------------------------------
def test_each_of_a_hundred_recipients_has_exactly_one_fate(stage, fe1, unused):
    """Three backends: one refuses connections, one refuses two of them, one is slow to answer."""
    sender = unused("sv2")
    accounts = {name: unused(name, count) for name, count in (("sv1", 34), ("sv2", 33), ("sv3", 33))}
    temporary, permanent = accounts["sv2"][:2]
    stage.backends["sv1"].lmtp.refuse_connections()
    stage.backends["sv2"].lmtp.play(rcpt={temporary.address: b"452 4.2.2 full", permanent.address: b"550 5.1.1 gone"})
    stage.backends["sv3"].lmtp.play(greeting=SILENCE)
    everyone = [account for trio in zip(*(accounts[name][:33] for name in accounts)) for account in trio]
    everyone.append(accounts["sv1"][33])
    content = b"Subject: to all\r\n\r\nbody\r\n"
    answers = submit(fe1, [account.address for account in everyone], content, sender.address)
    refused = {account.address: reply for account, reply in zip(everyone, answers.recipients)
               if not reply.startswith(b"250 ")}
    assert refused == {temporary.address: b"452 4.2.2 full", permanent.address: b"550 5.1.1 gone"}
    assert answers.final.startswith(b"250 ")
    for backend in stage.backends.values():
        backend.lmtp.play()
        backend.lmtp.listen()
    fe1.await_empty_queue()
    for name, owned in accounts.items():
        for account in owned:
            wanted = [] if account.address in refused else [content]
            arrived = stage.backends[name].lmtp.taken(account.address)
            assert [without_our_trace(message) for message in arrived] == wanted, account
            others = [other for other in stage.backends if other != name]
            assert not any(stage.backends[other].lmtp.seen(account.address) for other in others)
    assert stage.backends["sv2"].lmtp.seen(sender.address) == []  # the sender knows of both


def test_what_fails_after_the_answer_is_reported_once_for_all(stage, fe1, unused):
    """Recipients of two backends, so that it is queued; then one fails, one is late, the rest arrive."""
    sender = unused("sv3")
    first, gone, late, other = *unused("sv1", 3), unused("sv2")
    lmtp = stage.backends["sv1"].lmtp
    lmtp.play(final={gone.address: b"552 5.2.2 full for good", late.address: b"450 4.2.1 busy"})
    recipients = [account.address for account in (first, gone, late, other)]
    assert submit(fe1, recipients, b"Subject: split\r\n\r\n", sender.address).final.startswith(b"250 ")
    octets, = await_reports(stage.backends["sv3"].lmtp, sender.address)
    assert parse_report(octets).failures == {gone.address: ("5.2.2", "smtp; 552 5.2.2 full for good")}
    lmtp.play()
    fe1.await_empty_queue()
    for account in (first, late):
        assert len(lmtp.taken(account.address)) == 1
    assert len(stage.backends["sv2"].lmtp.taken(other.address)) == 1
    assert len(stage.backends["sv3"].lmtp.taken(sender.address)) == 1


def test_queued_mail_survives_every_loss_on_its_way(fe1, lmtp, unused):
    """The delivery is cut off at several steps in turn, and arrives in the end."""
    account = unused("sv1")
    lmtp.play(greeting=CLOSE)
    assert submit(fe1, [account.address], b"Subject: x\r\n\r\n").final.startswith(b"250 ")
    for script in ({"content": CLOSE}, {"data": b"451 4.3.0 busy"}, {"mail": b"452 4.3.1 busy"}):
        count = len(lmtp.connections)
        lmtp.play(**script)
        wait_until(lambda: any(session.script is lmtp.script and session.is_over.is_set() and session.lines
                               and not session.is_probe() for session in lmtp.connections[count:]),
                   f"it is tried with {script}", 10)
        assert list(fe1.queue()) == [account.address], script
    lmtp.play()
    fe1.await_empty_queue()
    assert len(lmtp.seen(account.address)) == 1
