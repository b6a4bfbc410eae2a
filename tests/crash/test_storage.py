# SPDX-License-Identifier: Apache-2.0
"""The disk is full, and the queue process is away: what is refused, what goes on, and that it ends."""
import os
import signal
import smtplib
import subprocess

import pytest
from cluster import Network

from harness import Run, wait_for
from ledger import body_of


@pytest.fixture
def run(crash_cluster, request):
    """Good backends and a book; sv1 is away."""
    run = Run(crash_cluster, request.node.name)
    for sink in crash_cluster.sinks():
        sink.ledger, sink.is_good = run.ledger, True
    crash_cluster.backends["sv1"].lmtp.refuse_connections()
    yield run
    run.calm()
    assert not run.ledger.faults(), "\n".join(map(str, run.ledger.faults()))


def say(run, host, name, lines=3):
    """Sends a message to an account of `host`: the replies to RCPT and to the end of the content."""
    address = next(account.address for account in run.accounts if account.host == host)
    run.ledger.attempt([address], name)
    with smtplib.SMTP(run.frontend.address, Network.SMTP, timeout=20) as smtp:
        smtp.ehlo()
        smtp.mail("a@example.com")
        code, _ = smtp.rcpt(address)
        if code != 250:
            return code, None
        final, _ = smtp.data(f"Subject: {name}\r\n\r\n".encode() + body_of(name, lines))
        if final == 250:
            run.ledger.accept([address], name)
        return code, final


def test_a_full_disk_refuses_for_now_and_loses_nothing(run):
    assert say(run, "sv1", "before") == (250, 250)
    run.storage.set("is_full", 1)
    # The queue process itself may have found out first, by what it notes of the message before.
    assert say(run, "sv1", "found out") in [(250, 451), (452, None)]
    assert say(run, "sv1", "known") == (452, None)
    assert say(run, "sv2", "needs no disk") == (250, 250)
    run.storage.set("is_full", 0)
    assert wait_for(lambda: say(run, "sv1", "room again") == (250, 250), 10)


def test_a_file_system_without_room_refuses_for_now_and_loses_nothing(run):
    """The same on a real one, which is small."""
    queue = run.frontend.queue_folder()
    run.frontend.stop()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=777", "tmpfs", queue],
                      capture_output=True).returncode != 0:
        run.frontend.start()
        pytest.skip("a file system can only be mounted by root")
    try:
        # Here the library has nothing to watch: its shadow would have to lie in there.
        environment = run.frontend.process.environment
        run.frontend.process.environment = {key: value for key, value in environment.items()
                                            if not key.startswith(("LD_", "FORGETFUL"))}
        run.frontend.start()
        assert say(run, "sv1", "before") == (250, 250)
        replies = [say(run, "sv1", f"large {number}", 20000) for number in range(8)]
        assert (250, 250) in replies and {reply[1] for reply in replies} <= {250, 451, None}
        assert any(reply != (250, 250) for reply in replies)
        assert say(run, "sv2", "needs no disk") == (250, 250)
        run.cluster.backends["sv1"].lmtp.listen()
        assert wait_for(lambda: not run.ledger.missing(), 30), run.ledger.missing()
        run.cluster.backends["sv1"].lmtp.refuse_connections()
        assert wait_for(lambda: say(run, "sv1", "room again") == (250, 250), 20)
        run.calm()
    finally:
        run.frontend.stop()
        subprocess.run(["umount", queue], check=True)
        run.frontend.process.environment = environment
        run.frontend.start()


def test_without_the_queue_process_only_what_needs_it_is_refused(run):
    pid, = run.frontend.children("queue")
    os.kill(pid, signal.SIGSTOP)
    try:
        # The worker still has its connection: the answer comes when the process was replaced.
        assert say(run, "sv2", "needs no queue") == (250, 250)
    finally:
        os.kill(pid, signal.SIGCONT)
    os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: say(run, "sv1", "it is back") == (250, 250), 20)
