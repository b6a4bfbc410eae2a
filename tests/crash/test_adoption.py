# SPDX-License-Identifier: Apache-2.0
"""A queue is adopted while its new owner is killed and loses its power: each message moves exactly once."""
import os
import shutil

import pytest

from harness import Run, Senders, wait_for

SEEDS = int(os.environ.get("MAILSTEAD_ADOPTIONS", "4"))
MESSAGES = 40


def fill_a_dead_queue(run):
    """Mail that no backend takes, in a queue whose frontend is dead then: its folder."""
    for sink in run.cluster.sinks():
        sink.ledger = run.ledger
        sink.refuse_connections()
    with Senders(run.cluster, run.ledger, run.accounts, run.sender.address, f"adoption {run.seed}"):
        assert wait_for(lambda: len(run.ledger.accepted) > MESSAGES, 30)
    run.frontend.kill()
    queue = run.frontend.queue_folder()
    dead = queue.with_name("dead")
    queue.rename(dead)
    queue.mkdir()
    status = dead.stat()
    os.chown(queue, status.st_uid, status.st_gid)
    # On the same forgetful storage as the queue that it goes to.
    dead.rename(queue / "dead")
    run.storage.forget_all()
    run.storage.remember_folder(queue)
    run.frontend.start()
    return queue / "dead"


def adopt(run, folder):
    return run.frontend.admin().run("queue", "adopt", folder, "--json")


def trouble(run):
    """A kill at some change of either queue, or a power cut there."""
    run.storage.kill_after(run.chance.randint(1, 120), is_cut=run.chance.random() < 0.4)
    run.ledger.kill()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_each_message_is_adopted_once_whatever_dies(crash_cluster, seed):
    run = Run(crash_cluster, f"adoption {seed}")
    dead = fill_a_dead_queue(run)
    for sink in crash_cluster.sinks():
        sink.listen()
    for _ in range(6):
        trouble(run)
        adopt(run, dead)
        if run.storage.get("is_dark"):
            run.power_fails()
    run.storage.calm()
    assert wait_for(lambda: adopt(run, dead).returncode == 0, 30), adopt(run, dead).stderr
    run.calm()
    assert not run.ledger.faults(), "\n".join(map(str, run.ledger.faults()[:20]))
    assert not list((dead / "bodies").iterdir())
    forget(run, dead)


def forget(run, dead):
    """The next seed finds nothing of it."""
    run.frontend.stop()
    shutil.rmtree(dead)
    run.storage.forget_all()
    run.storage.remember_folder(run.frontend.queue_folder())
    run.frontend.start()
