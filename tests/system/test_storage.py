# SPDX-License-Identifier: Apache-2.0
"""Storages are attached to one node at a time, or not served; a node that leaves lets all of them go."""
import itertools
import os
import signal

import pytest
from cluster import Network, clients, wait_until
from conftest import giver, running
from storage_cluster import StorageCluster, why_not_here

REASON = why_not_here()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)


@pytest.fixture(scope="module")
def shared(build, request):
    with running(lambda folder: StorageCluster(folder, Network.find(), build), request) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def untouched(shared):
    return giver(shared)


@pytest.fixture(autouse=True)
def as_before(shared):
    """After each test each storage is at home, and served."""
    shared.hooks()
    yield
    (shared.folder / "hook.hangs").unlink(missing_ok=True)
    for name in shared.backends:
        if not shared.backends[name].daemon.process.is_running():
            shared.backends[name].daemon.start()
    for name in shared.backends:
        for row in shared.node(name)["storages"]:
            if row["server"] != name and row["state"] != "detached":
                shared.order(name, "storage", "release", row["server"])
    for name in shared.backends:
        shared.order(name, "node", "return")
        if shared.storage(name, name)["state"] != "attached":
            shared.order(name, "storage", "attach", name)
        shared.wait_storage(name, name, "attached")
        account = shared.accounts_of(name)[-1]
        wait_until(lambda a=account: shared.frontends["fe1"].serves(a), f"{name} serves again", 30)


def gate_refuses(shared, account):
    """The refusal of a login at the gate of the account's first backend; empty when it is let in."""
    return clients.refusal(shared.backends[account.host].daemon, account, tls=clients.trusting(shared))


def refuses_mail(daemon, account):
    return clients.lmtp_answer(daemon, account.address).startswith(b"451")


def misses_storage(shared, account):
    daemon = shared.backends["sv2"].daemon
    assert refuses_mail(daemon, account)
    return "event=storage_missing server=sv1" in daemon.log()


def test_another_servers_storage_is_adopted_without_a_restart_of_the_store(shared, untouched):
    fe1, account = shared.frontends["fe1"], untouched("sv1")
    store = shared.backends["sv2"].dovecot.process.pid
    clients.send(fe1, [account.address], clients.make_message("old", [account.address]))
    wait_until(lambda: clients.read_by_imap(fe1, account), "the message arrives", 20)
    assert shared.order("sv1", "node", "leave").returncode == 0
    shared.slapd.set_host(account, "sv2", "sv1")
    try:
        wait_until(lambda: misses_storage(shared, account), "sv2 misses the storage of sv1", 20)
        assert shared.order("sv2", "storage", "attach", "sv1").returncode == 0
        wait_until(lambda: fe1.serves(account), "sv2 serves the account", 20)
        clients.send(fe1, [account.address], clients.make_message("new", [account.address]))
        wait_until(lambda: clients.subjects(clients.read_by_imap(fe1, account)) == ["new", "old"],
                   "old and new mail is there", 20)
        assert shared.backends["sv2"].dovecot.process.pid == store
    finally:
        shared.slapd.set_host(account, "sv1")


def test_a_storage_is_released_when_its_sessions_have_ended(shared):
    """And not before, while the store's processes cannot end."""
    daemon = shared.backends["sv2"].daemon
    session = clients.imap_login(daemon, shared.accounts_of("sv2")[-2], tls=clients.trusting(shared))
    assert session.select()[0] == "OK"
    assert shared.storage("sv2", "sv2")["sessions"] == 1
    stores = shared.store_processes("sv2", "imap")
    assert stores
    for pid in stores:
        os.kill(pid, signal.SIGSTOP)
    try:
        done = shared.order("sv2", "storage", "release", "--deadline", "1s", "sv2")
        assert done.returncode == 1 and "1 sessions are still open" in done.stderr
        assert shared.keeper("sv2")
        assert shared.order("sv1", "storage", "attach", "--fenced", "sv2").returncode == 1
    finally:
        for pid in stores:
            os.kill(pid, signal.SIGCONT)
    with pytest.raises(clients.REFUSALS):
        assert session.noop()[0] == "OK"
    assert shared.order("sv2", "storage", "release", "sv2").returncode == 0
    assert shared.storage("sv2", "sv2")["state"] == "detached"


@pytest.mark.long
def test_a_storage_in_use_is_given_up_by_a_word(shared):
    daemon = shared.backends["sv2"].daemon
    session = clients.imap_login(daemon, shared.accounts_of("sv2")[-2], tls=clients.trusting(shared))
    assert session.select()[0] == "OK"
    stores = shared.store_processes("sv2", "imap")
    for pid in stores:
        os.kill(pid, signal.SIGSTOP)
    try:
        done = shared.order("sv2", "storage", "release", "--yes", "--deadline", "1s", "sv2")
        assert done.returncode == 0, done.stderr
        daemon.await_event("event=storage_forced server=sv2 sessions=1")
    finally:
        for pid in stores:
            os.kill(pid, signal.SIGCONT)
        session.shutdown()


def test_a_storage_is_not_had_twice(shared):
    for fenced in ((), ("--fenced",)):
        done = shared.order("sv2", "storage", "attach", "sv1", *fenced)
        assert done.returncode == 1 and 'locked by node "sv1"' in done.stderr
    assert shared.storage("sv1", "sv1")["state"] == "attached"


def test_a_lock_of_a_process_that_is_stopped_is_not_taken(shared):
    stopped = shared.backends["sv1"].daemon.process.members()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    os.kill(shared.keeper("sv1"), signal.SIGSTOP)
    try:
        done = shared.order("sv2", "storage", "attach", "sv1", "--fenced")
        assert done.returncode == 1 and "that process is stopped" in done.stderr
    finally:
        os.kill(shared.keeper("sv1"), signal.SIGCONT)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def test_what_a_dead_node_had_needs_a_word_and_is_not_taken_back(shared):
    shared.backends["sv1"].daemon.kill()
    done = shared.order("sv2", "storage", "attach", "sv1")
    assert done.returncode == 1 and 'node "sv1"' in done.stderr and "has not released it" in done.stderr
    assert shared.order("sv2", "storage", "attach", "sv1", "--fenced").returncode == 0
    shared.backends["sv1"].daemon.start()
    shared.wait_storage("sv1", "sv1", "failed", 'locked by node "sv2"')
    assert gate_refuses(shared, shared.accounts_of("sv1")[-1])


def served_by_none(shared, account):
    """What the gate of sv1 says while it runs."""
    daemon = shared.backends["sv1"].daemon
    if daemon.process.is_running():
        assert "UNAVAILABLE" in gate_refuses(shared, account)
        assert refuses_mail(daemon, account)


ORDERS = list(itertools.permutations(("directory", "dovecot", "gate")))


@pytest.mark.parametrize("order", [ORDERS[-1], *(pytest.param(order, marks=pytest.mark.long) for order in ORDERS[:-1])],
                         ids=" ".join)
def test_a_failed_server_that_comes_back_leaves_its_storage_to_who_has_it(shared, untouched, order):
    """Until it is ordered to take it: no hook brings it there, whatever starts first."""
    backend, account = shared.backends["sv1"], untouched("sv1")
    starts = {"directory": shared.slapd.start, "dovecot": backend.dovecot.start, "gate": backend.daemon.start}
    backend.kill()
    assert shared.order("sv2", "storage", "attach", "--fenced", "sv1").returncode == 0
    shared.slapd.set_host(account, "sv2", "sv1")
    wait_until(lambda: shared.frontends["fe1"].serves(account), "sv2 serves it", 20)
    shared.slapd.stop()
    shared.hooks()
    try:
        for part in order:
            starts[part]()
            served_by_none(shared, account)
            if "directory" in order[order.index(part) + 1:] and backend.daemon.process.is_running():
                row = shared.storage("sv1", "sv1")
                assert row["is_held"] and row["why"] == "it waits for the directory"
        shared.wait_storage("sv1", "sv1", "detached", "adopted by sv2: 1 accounts")
        served_by_none(shared, account)
        daemon = backend.daemon
        assert "event=storage_held server=sv1" in daemon.log()
        checked = daemon.admin().run("status", "--check")
        assert checked.returncode == 1 and "the storage of sv1 is held: adopted by sv2: 1 accounts" in checked.stdout
        daemon.stop()
        daemon.start()  # it is remembered
        shared.wait_storage("sv1", "sv1", "detached", "adopted by sv2")
        assert not [line for line in shared.hooks() if line.startswith("sv1 attach")]
    finally:
        for process in (shared.slapd.process, backend.dovecot.process, backend.daemon.process):
            if not process.is_running():
                process.start()
    done = shared.frontends["fe1"].admin().run("failback", "sv1")
    assert done.returncode == 0, done.stderr
    assert shared.hooks() == ["sv2 release sv1", "sv1 attach sv1"]
    wait_until(lambda: gate_refuses(shared, account) == "", "sv1 serves it", 20)


def test_a_node_that_left_stays_away_over_a_restart(shared):
    account, daemon = shared.accounts_of("sv2")[-1], shared.backends["sv2"].daemon
    assert shared.order("sv2", "node", "leave").returncode == 0
    assert shared.hooks() == ["sv2 stop sv2", "sv2 release sv2"]
    for _ in range(2):
        assert shared.node("sv2")["state"] == "left"
        wait_until(lambda: gate_refuses(shared, account), "nobody is let in", 5)
        daemon.stop()
        daemon.launch()
        wait_until(lambda: daemon.control_socket.exists() and daemon.knows_commands(), "the daemon runs", 20)
    shared.hooks()
    assert shared.order("sv2", "node", "return").returncode == 0
    assert shared.hooks() == ["sv2 start sv2", "sv2 attach sv2"]
    assert shared.node("sv2")["state"] == "serving"


def test_an_own_storage_that_an_order_released_stays_released_over_a_restart(shared):
    """All of its accounts are here, and still somebody was told that he may have it."""
    account, daemon = shared.accounts_of("sv2")[-1], shared.backends["sv2"].daemon
    assert shared.order("sv2", "storage", "release", "sv2").returncode == 0
    assert shared.hooks() == ["sv2 release sv2"]
    daemon.stop()
    daemon.launch()
    wait_until(lambda: daemon.control_socket.exists() and daemon.knows_commands(), "the daemon runs", 20)
    shared.wait_storage("sv2", "sv2", "detached", "its accounts are here; it waits for an order")
    assert "UNAVAILABLE" in gate_refuses(shared, account)
    assert shared.hooks() == []
    assert shared.order("sv2", "storage", "attach", "sv2").returncode == 0
    assert shared.hooks() == ["sv2 attach sv2"]
    wait_until(lambda: gate_refuses(shared, account) == "", "it serves again", 20)


@pytest.mark.long
def test_leaving_ends_sessions(shared):
    account = shared.accounts_of("sv2")[-2]
    session = clients.imap_login(shared.backends["sv2"].daemon, account, tls=clients.trusting(shared))
    done = shared.order("sv2", "node", "leave", "--deadline", "1s")
    assert done.returncode == 0, done.stderr
    with pytest.raises(clients.REFUSALS):
        assert session.noop()[0] == "OK"


@pytest.mark.long
def test_leaving_waits_for_the_store_of_the_sessions(shared):
    """Whose stop hook, here, does nothing: what it holds is kept."""
    session = clients.imap_login(shared.backends["sv2"].daemon, shared.accounts_of("sv2")[-2],
                                 tls=clients.trusting(shared))
    assert session.select()[0] == "OK"
    stores = shared.store_processes("sv2", "imap")
    for pid in stores:
        os.kill(pid, signal.SIGSTOP)
    try:
        done = shared.order("sv2", "node", "leave", "--deadline", "1s")
        assert done.returncode == 1 and 'the storage of "sv2": 1 sessions are still open' in done.stderr
        assert shared.hooks() == ["sv2 stop sv2"] and shared.keeper("sv2")
        assert shared.node("sv2")["state"] == "leaving"
    finally:
        for pid in stores:
            os.kill(pid, signal.SIGCONT)
        session.shutdown()
    assert shared.order("sv2", "node", "leave").returncode == 0
    assert shared.hooks() == ["sv2 stop sv2", "sv2 release sv2"]


def test_what_is_unmounted_is_not_served_until_it_is_there_again(shared):
    account = shared.accounts_of("sv2")[-1]
    shared.unmount("sv2")
    shared.wait_storage("sv2", "sv2", "failed", "is not mounted")
    assert "UNAVAILABLE" in gate_refuses(shared, account)
    assert refuses_mail(shared.backends["sv2"].daemon, account)
    shared.mount("sv2")
    shared.wait_storage("sv2", "sv2", "attached")


def test_what_cannot_be_written_is_not_served(shared):
    shared.make_read_only("sv2")
    shared.wait_storage("sv2", "sv2", "failed", "Read-only file system")
    assert "UNAVAILABLE" in gate_refuses(shared, shared.accounts_of("sv2")[-1])
    shared.unmount("sv2")
    shared.wait_storage("sv2", "sv2", "attached")


def test_another_servers_disk_in_its_place_is_refused(shared):
    shared.inside("mount", "--bind", shared.folder / "disks" / "sv1", shared.place("sv2"))
    try:
        shared.wait_storage("sv2", "sv2", "failed", 'this is the storage of server "sv1", not of "sv2"')
    finally:
        shared.unmount("sv2")


@pytest.mark.long
def test_a_hook_that_never_returns_is_a_failure(shared):
    shared.configure("sv2", hook_timeout_s=1)
    shared.backends["sv2"].daemon.process.signal(signal.SIGHUP)
    wait_until(lambda: "generation=2" in shared.backends["sv2"].daemon.log(), "it has reloaded", 20)
    shared.wait_storage("sv2", "sv2", "attached")
    (shared.folder / "hook.hangs").touch()
    done = shared.order("sv2", "storage", "attach", "sv1")
    assert done.returncode == 1 and "the hook failed: it did not answer in time" in done.stderr
    done = shared.order("sv2", "node", "leave")
    assert done.returncode == 1 and "stop_hook: it did not answer in time" in done.stderr
    assert shared.node("sv2")["state"] == "leaving"
    (shared.folder / "hook.hangs").unlink()
    assert shared.order("sv2", "node", "leave").returncode == 0


@pytest.mark.long
def test_a_keeper_that_hangs_is_replaced(shared):
    keeper = shared.keeper("sv2")
    os.kill(keeper, signal.SIGSTOP)
    shared.wait_storage("sv2", "sv2", "failed", "answer")
    shared.wait_storage("sv2", "sv2", "attached")
    assert shared.keeper("sv2") != keeper


def test_the_storage_process_dies_and_nobody_notices(shared):
    account, daemon = shared.accounts_of("sv2")[-1], shared.backends["sv2"].daemon
    keeper = shared.keeper("sv2")
    os.kill(daemon.children("storage")[0], signal.SIGKILL)

    def is_reclaimed():
        assert gate_refuses(shared, account) == ""
        return shared.keeper("sv2") != keeper

    wait_until(is_reclaimed, "the storage is claimed by a new process", 20, 0.02)
    shared.wait_storage("sv2", "sv2", "attached")


def test_a_storage_is_adopted_by_itself_where_that_is_wanted(shared, untouched):
    account = untouched("sv1")
    shared.configure("sv2", adopt="auto")
    shared.backends["sv2"].daemon.stop()
    shared.backends["sv2"].daemon.start()
    assert shared.order("sv1", "node", "leave").returncode == 0
    shared.slapd.set_host(account, "sv2", "sv1")
    try:
        wait_until(lambda: shared.frontends["fe1"].serves(account), "sv2 serves the account", 30)
        assert shared.storage("sv2", "sv1")["state"] == "attached"
        daemon, missing = shared.backends["sv2"].daemon, "event=storage_missing server=sv1"
        before = daemon.log().count(missing)
        assert shared.order("sv2", "storage", "release", "sv1").returncode == 0
        assert refuses_mail(daemon, account)
        wait_until(lambda: daemon.log().count(missing) > before, "it is missed", 10, 0.05)
        assert shared.storage("sv2", "sv1")["state"] == "detached", "it came back before its accounts could be moved"
    finally:
        shared.slapd.set_host(account, "sv1")


@pytest.mark.long
def test_a_black_start_needs_an_order(shared):
    account, daemon = shared.accounts_of("sv2")[-1], shared.backends["sv2"].daemon
    daemon.stop()
    shared.slapd.stop()
    try:
        daemon.start()
        assert shared.node("sv2")["state"] == "waiting"
        assert gate_refuses(shared, account)
        assert shared.order("sv2", "node", "override").returncode == 0
        assert shared.node("sv2")["state"] == "serving"
        wait_until(lambda: gate_refuses(shared, account) == "", "its own storage is there, and served", 20)
    finally:
        shared.slapd.start()
    wait_until(lambda: not shared.node("sv2")["is_overridden"], "the override is over", 60)
    assert shared.node("sv2")["state"] == "serving"
