# SPDX-License-Identifier: Apache-2.0
"""The queue's database makes no sense: it is set aside and told, and what can be read of it is delivered."""
import os
import signal
import sqlite3

from harness import wait_for
from test_storage import run, say  # noqa: F401

MESSAGES = 60
PAGE = 4096


def damage(queue):
    """Overwrites the root of the index by which the queue process finds what is due."""
    path = queue / "queue.db"
    database = sqlite3.connect(path, timeout=20)
    try:
        # All is in the file then, and the process reads the page from there again.
        assert database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        page, = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'recipient_due'").fetchone()
    finally:
        database.close()
    with open(path, "r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(b"\xee" * PAGE)


def fill(run, name, count=MESSAGES, lines=3):
    for number in range(count):
        assert say(run, "sv1", f"{name} {number}", lines) == (250, 250)


def times_told(run):
    return run.frontend.log().count("event=queue_set_aside")


def arrives(run):
    run.cluster.backends["sv1"].lmtp.listen()
    assert wait_for(lambda: not run.ledger.missing(), 60), run.ledger.missing()


def test_what_can_be_read_of_a_database_that_was_damaged_at_rest_is_delivered(run):  # noqa: F811
    queue = run.frontend.queue_folder()
    fill(run, "at rest")
    run.frontend.stop()
    told = times_told(run)
    damage(queue)
    run.frontend.start()
    assert wait_for(lambda: times_told(run) > told, 20)
    arrives(run)


def test_a_queue_process_that_finds_damage_while_the_daemon_runs_goes_on_with_what_can_be_read(run):  # noqa: F811
    fill(run, "at work")
    told = times_told(run)
    supervisor = run.frontend.process.pid
    os.kill(supervisor, signal.SIGSTOP)  # so that nobody replaces the queue process before
    try:
        for pid in run.frontend.children("queue"):
            os.kill(pid, signal.SIGKILL)
        assert wait_for(lambda: not run.frontend.children("queue"), 10)
        damage(run.frontend.queue_folder())
    finally:
        os.kill(supervisor, signal.SIGCONT)
    assert wait_for(lambda: times_told(run) > told, 20)
    assert wait_for(lambda: say(run, "sv1", "behind the damage") == (250, 250), 20)
    arrives(run)
