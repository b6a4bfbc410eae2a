# SPDX-License-Identifier: Apache-2.0
"""Mail at backends that err: what the sender is told, what waits, what arrives, and how often."""
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cluster import clients, wait_until
from reports import await_reports, parse_report
from scripted import CLOSE, SILENCE, UNKNOWN_DELAY_S, Held, begin, stuffed, submit

CONTENT = b"Subject: hello\r\n\r\nbody\r\n"


@pytest.fixture
def fe1(stage):
    return stage.frontends["fe1"]


@pytest.fixture
def lmtp(stage):
    return stage.backends["sv1"].lmtp


def addresses(accounts):
    return [account.address for account in accounts]


def assert_arrived_once(lmtp, account, content=CONTENT):
    arrived = [clients.without_trace(message) for message in lmtp.taken(account.address)]
    assert arrived == [content]


# -- the table of ARCHITECTURE, section 5 ----------------------------------------
@pytest.mark.parametrize("count", [1, 3])
def test_all_permanent_refusals_are_a_refusal_and_nothing_more(stage, fe1, lmtp, unused, count):
    sender, accounts = unused("sv2"), unused("sv1", count)
    lmtp.play(final={None: b"554 5.2.1 no"})
    answers = submit(fe1, addresses(accounts), CONTENT, sender.address)
    assert answers.final == b"554 5.2.1 no"
    assert fe1.queue() == {}
    assert stage.backends["sv2"].lmtp.seen(sender.address) == []
    assert [len(lmtp.seen(account.address)) for account in accounts] == [1] * count


@pytest.mark.parametrize("finals", [[b"450 4.2.0 busy"], [b"452 4.2.2 full", b"450 4.2.0 busy"],
                                    [b"554 5.2.1 no", b"452 4.2.2 full", b"554 5.2.1 no"]])
def test_none_accepted_and_some_temporary_is_451_and_nothing_more(stage, fe1, lmtp, unused, finals):
    sender, accounts = unused("sv2"), unused("sv1", len(finals))
    lmtp.play(final=dict(zip(addresses(accounts), finals)))
    answers = submit(fe1, addresses(accounts), CONTENT, sender.address)
    assert answers.final.startswith(b"451 4.2.")
    assert fe1.queue() == {}
    assert stage.backends["sv2"].lmtp.seen(sender.address) == []


NOT_REACHED = [  # None: the connection is refused
    None,
    {"greeting": SILENCE}, {"greeting": CLOSE}, {"greeting": b"421 4.3.2 not now"},
    {"greeting": b"554 5.3.2 never"}, {"greeting": b"SSH-2.0-garbage"}, {"greeting": b"220 " + b"x" * 100_000},
    {"hello": b"502 5.5.1 what?"}, {"hello": CLOSE}, {"hello": b"250 " + b"-" * 5000},
    {"mail": SILENCE}, {"mail": CLOSE}, {"mail": b"451 4.3.0 not now"}, {"mail": b"\0\1\2"},
    {"mail": b"421 4.3.2 going down"}, {"mail": b"250-" + b"\r\n250-".join([b"more"] * 500)},
    {"rcpt": SILENCE}, {"rcpt": CLOSE}, {"rcpt": b"garbage"}, {"rcpt": b"421 4.3.2 going down"},
    {"rcpt": b"354 what?"},
    {"data": SILENCE}, {"data": CLOSE}, {"data": b"garbage", "extensions": (b"PIPELINING",)},
    {"data": b"250 2.0.0 what?"},
    {"data": b"421 4.3.2 going down"},
]


def test_what_is_not_reached_before_the_end_waits_and_arrives_once(stage, fe1, unused):
    """All of it goes to the queue, whatever the backend does; and each backend does it to some."""
    names = list(stage.backends)
    tried = []

    def try_all(number):
        name = names[number]
        lmtp = stage.backends[name].lmtp
        for script in NOT_REACHED[number::len(names)]:
            if script is None:
                lmtp.refuse_connections()
            lmtp.play(**script or {"greeting": CLOSE})  # there is no moment in which it is good
            account = unused(name)
            answers = submit(fe1, [account.address], CONTENT)
            tried.append((lmtp, account))
            lmtp.listen()
            codes = [reply[:3] for reply in (*answers.recipients, answers.data, answers.final)]
            assert codes == [b"250", b"354", b"250"], f"{script}: {answers}"
        lmtp.play(greeting=b"421 4.3.2 not yet")

    with ThreadPoolExecutor(len(names)) as threads:
        list(threads.map(try_all, range(len(names))))
    assert set(fe1.queue()) == {account.address for _, account in tried}
    assert len(tried) == len(NOT_REACHED)
    for backend in stage.backends.values():
        assert backend.lmtp.messages == []
        backend.lmtp.play()
    fe1.await_empty_queue()
    for lmtp, account in tried:
        assert_arrived_once(lmtp, account)


@pytest.mark.parametrize("loss", [CLOSE, b"421 4.3.2 going down", b"garbage"])
def test_a_backend_that_is_lost_in_the_middle_of_the_content_has_nothing_of_it(fe1, lmtp, unused, loss):
    account = unused("sv1")
    lmtp.play(content=loss)
    size = len(fe1.log())
    raw, _ = begin(fe1, [account.address])
    with raw:
        raw.send(CONTENT[:10])
        wait_until(lambda: "event=backend_failed" in fe1.log()[size:], "the backend is lost", 10)
        lmtp.play(greeting=CLOSE)
        raw.send(stuffed(CONTENT)[10:])
        assert raw.reply().startswith(b"250 ")
    assert list(fe1.queue()) == [account.address] and lmtp.messages == []
    lmtp.play()
    fe1.await_empty_queue()
    assert_arrived_once(lmtp, account)


def test_a_backend_that_refuses_is_not_tried_again_and_again(fe1, lmtp, unused):
    """The retries are a second apart (queue.retry_min_s), whatever else goes on."""
    lmtp.play(greeting=CLOSE)
    account, others = unused("sv1"), [unused("sv2"), unused("sv3")]
    began = time.monotonic()
    assert submit(fe1, [account.address], CONTENT).final.startswith(b"250 ")

    def attempts():
        return fe1.log().count(f"recipient={account.address} backend=sv1 fate=deferred")

    # Mail for two backends is queued: each time the scheduler looks for something to do.
    wait_until(lambda: submit(fe1, addresses(others), CONTENT) and attempts() >= 3, "it is tried thrice", 10, 0.05)
    assert attempts() <= 2 + (time.monotonic() - began) / 0.7
    lmtp.play()
    fe1.await_empty_queue()


def test_a_backend_that_greets_late_but_in_time_is_cut_through(fe1, lmtp, unused):
    account, greeting = unused("sv1"), Held(b"220 at last")
    lmtp.play(greeting=greeting)
    threading.Thread(target=lambda: (greeting.wait_asked(), time.sleep(0.5), greeting.release())).start()
    assert submit(fe1, [account.address], CONTENT).final == b"250 2.0.0 Taken"
    assert_arrived_once(lmtp, account)


@pytest.mark.parametrize("stage_of_refusal, code", [
    ("mail", b"550 5.7.0"), ("rcpt", b"450 4.2.0"), ("rcpt", b"550 5.7.0"), ("data", b"450 4.2.0"),
    ("data", b"550 5.7.0")])
def test_a_refusal_before_the_content_is_the_senders(stage, fe1, lmtp, unused, stage_of_refusal, code):
    account, refusal = unused("sv1"), code + b" the backend's words"
    lmtp.play(**{stage_of_refusal: refusal})
    answers = submit(fe1, [account.address], CONTENT)
    assert (answers.data if stage_of_refusal == "data" else answers.recipients[0]) == refusal
    assert fe1.queue() == {}


def test_some_accepted_queues_the_temporary_and_reports_the_permanent(stage, fe1, lmtp, unused):
    sender, (taken, busy, gone) = unused("sv2"), unused("sv1", 3)
    lmtp.play(final={taken.address: b"250 2.0.0 Taken", busy.address: b"452 4.2.2 full",
                     gone.address: b"554 5.2.1 disabled"})
    assert submit(fe1, addresses([taken, busy, gone]), CONTENT, sender.address).final.startswith(b"250 ")
    assert busy.address in fe1.queue() and taken.address not in fe1.queue() and gone.address not in fe1.queue()
    report, = await_reports(stage.backends["sv2"].lmtp, sender.address)
    assert parse_report(report).failures == {gone.address: ("5.2.1", "smtp; 554 5.2.1 disabled")}
    lmtp.forget()
    fe1.await_empty_queue()
    assert_arrived_once(lmtp, busy)
    assert lmtp.seen(taken.address) == lmtp.seen(gone.address) == []


def test_a_failure_is_never_reported_to_the_null_sender(stage, fe1, lmtp, unused):
    taken, gone = unused("sv1", 2)
    lmtp.play(final={gone.address: b"554 5.2.1 disabled"})
    assert submit(fe1, addresses([taken, gone]), CONTENT, "").final.startswith(b"250 ")
    assert fe1.queue() == {}
    assert stage.relay.sessions() == []
    assert_arrived_once(lmtp, taken)


def test_only_the_unanswered_wait_when_the_reply_is_lost(stage, fe1, unused):
    """Whatever becomes of the connection when some recipients are answered already."""
    losses = {"sv1": [CLOSE, b"garbage"], "sv2": [SILENCE], "sv3": [b"354 what?", b"250 " + b"x" * 10_000]}
    tried = []

    def lose_all(name):
        lmtp = stage.backends[name].lmtp
        for loss in losses[name]:
            taken, gone, busy, lost, also = unused(name, 5)
            lmtp.play(final={taken.address: b"250 2.0.0 Taken", gone.address: b"554 5.2.1 disabled",
                             busy.address: b"450 4.2.0 busy", lost.address: loss, also.address: CLOSE})
            sender = f"sender-of-{lost.uid}@example.com"
            answers = submit(fe1, addresses([taken, gone, busy, lost, also]), CONTENT, sender)
            lmtp.play(greeting=CLOSE)
            assert answers.final.startswith(b"250 "), f"{loss}: {answers}"
            tried.append((lmtp, sender, taken, gone, busy, lost, also))

    with ThreadPoolExecutor(len(losses)) as threads:
        list(threads.map(lose_all, losses))
    queue = fe1.queue()
    unanswered = [account for _, _, _, _, _, *both in tried for account in both]
    assert {account.address for account in unanswered} <= set(queue)
    for account in unanswered:
        waiting = queue[account.address]
        assert waiting["next_attempt_ms"] - waiting["arrival_ms"] >= UNKNOWN_DELAY_S * 1000
    for backend in stage.backends.values():
        backend.lmtp.play()
    fe1.await_empty_queue()
    for lmtp, sender, taken, gone, busy, lost, also in tried:
        report, = await_reports(stage.relay, sender)
        assert parse_report(report).failures == {gone.address: ("5.2.1", "smtp; 554 5.2.1 disabled")}
        assert len(lmtp.seen(taken.address)) == len(lmtp.seen(gone.address)) == 1
        assert_arrived_once(lmtp, taken)
        assert_arrived_once(lmtp, busy)
        # The backend may have kept what it did not answer: only then it is there twice.
        assert len(lmtp.seen(lost.address)) == len(lmtp.seen(also.address)) == 2
        assert {clients.without_trace(message) for message in lmtp.taken(lost.address)} == {CONTENT}
        assert_arrived_once(lmtp, also)


def test_a_421_behind_the_dot_is_an_answer_for_all_that_wait(fe1, lmtp, unused):
    account, other = unused("sv1", 2)
    lmtp.play(final={None: b"421 4.3.2 going down"}, behind_final=CLOSE)
    assert submit(fe1, [account.address], CONTENT).final.startswith(b"451 ")
    assert fe1.queue() == {}
    lmtp.play(final={account.address: b"250 2.0.0 Taken", other.address: b"421 4.3.2 going down"},
              behind_final=CLOSE)
    assert submit(fe1, addresses([account, other]), CONTENT).final.startswith(b"250 ")
    assert list(fe1.queue()) == [other.address]
    lmtp.play()
    fe1.await_empty_queue()
    assert_arrived_once(lmtp, account)
    assert_arrived_once(lmtp, other)


@pytest.mark.parametrize("what_comes", [CLOSE, b"450 4.2.0 busy", b"554 5.2.1 no", b"250 2.0.0 Taken"])
def test_nothing_is_queued_for_a_client_that_is_gone_before_the_answer(stage, fe1, lmtp, unused, what_comes):
    sender, account, other = unused("sv2"), *unused("sv1", 2)
    final = Held(what_comes)
    lmtp.play(final={account.address: b"450 4.2.0 busy", other.address: final})
    raw, _ = begin(fe1, addresses([account, other]), sender.address)
    raw.send(stuffed(CONTENT))
    final.wait_asked()
    raw.close()
    session = re.search(rb"\bid (\S+)", lmtp.messages[0].content)[1].decode().rstrip(";")
    final.release()
    wait_until(lambda: [line for line in fe1.log().splitlines() if session in line and "event=end" in line],
               "the session ends", 10)
    assert fe1.queue() == {}
    assert stage.backends["sv2"].lmtp.seen(sender.address) == []


def test_a_client_that_leaves_in_the_content_leaves_nothing(fe1, lmtp, unused):
    account = unused("sv1")
    raw, _ = begin(fe1, [account.address])
    raw.send(b"Subject: half\r\n\r\nbody\r\n")
    session = wait_until(lambda: [s for s in lmtp.sessions() if b"Subject: half" in s.received], "it comes")[0]
    raw.close()
    assert session.is_over.wait(10)
    assert not session.received.endswith(b"\r\n.\r\n") and lmtp.messages == []
    assert fe1.queue() == {}
