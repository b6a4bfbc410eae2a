# SPDX-License-Identifier: Apache-2.0
"""Processes are killed, stopped and reloaded under load."""
import os
import signal
import time

import pytest

from cluster import Network, clients, wait_until
from cluster.process import read_stat, socket_owner
from conftest import wait_for_slapd
from raw import Raw
from threads import Threads

def new_child(frontend, role, old):
    """Waits for the child that takes the place of `old`."""
    def find():
        current = frontend.children(role)
        return len(current) >= 1 and old not in current and current

    return wait_until(find, f"a new {role} runs", 20)


def test_a_killed_worker_takes_only_its_own_sessions(cluster, frontend, fresh):
    accounts = fresh("sv1", 4)
    sessions = [clients.imap_login(frontend, accounts[number % 4]) for number in range(16)]
    owners = {session: socket_owner(session.sock.getsockname(), session.sock.getpeername(),
                                    frontend.children("worker")) for session in sessions}
    victim = owners[sessions[0]]
    assert victim in frontend.children("worker")
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in frontend.children("worker"), "the worker is gone")
    for session in sessions:
        if owners[session] == victim:
            with pytest.raises(clients.REFUSALS):
                session.noop()
        else:
            assert session.noop()[0] == "OK"
            session.logout()
    wait_until(lambda: len(frontend.children("worker")) == cluster.workers, "a new worker runs", 20)
    assert frontend.serves(accounts[0])


def test_connections_that_wait_are_served_by_the_next_worker(cluster, frontend):
    """Both workers are stopped, connections pile up, one worker dies: each connection gets its greeting."""
    workers = frontend.children("worker")
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        waiting = [Raw(frontend.address, Network.IMAP) for _ in range(16)]
        os.kill(workers[0], signal.SIGKILL)
    finally:
        for pid in workers[1:]:
            os.kill(pid, signal.SIGCONT)
    for raw in waiting:
        assert raw.line().startswith(b"* OK")
        raw.close()
    wait_until(lambda: len(frontend.children("worker")) == cluster.workers, "a new worker runs", 20)


@pytest.mark.long  # the time without a heartbeat; tests/unit/test_supervisor.c has it shorter
def test_a_worker_that_hangs_is_replaced(cluster, fe2, fresh):
    victim = fe2.children("worker")[0]
    os.kill(victim, signal.SIGSTOP)
    wait_until(lambda: read_stat(victim) is None, "the worker that hangs is killed", 30, 0.1)
    wait_until(lambda: len(fe2.children("worker")) == cluster.workers, "a new worker runs", 20)
    assert fe2.serves(fresh("sv1"))


@pytest.mark.parametrize("role", ["directory", "queue", "control"])
def test_a_killed_child_is_replaced_and_nobody_notices(fe1, fresh, arrives, role):
    account = fresh("sv1")
    session = clients.imap_login(fe1, account)
    victim, = fe1.children(role)
    os.kill(victim, signal.SIGKILL)
    assert session.noop()[0] == "OK"
    assert fe1.serves(account)
    message = clients.make_message(f"after {role}", [account.address])
    assert clients.send(fe1, [account.address], message) == {}
    arrives(account, f"after {role}")
    new_child(fe1, role, victim)
    wait_until(lambda: fe1.admin().run("status").returncode == 0, "status answers", 20, 0.1)
    session.logout()


@pytest.mark.parametrize("role", ["queue", "worker"])
def test_a_kill_in_the_middle_of_deliveries_loses_nothing(fe1, fresh, down, role):
    """All of it arrives; what a dead worker had under way may have been taken already, and waits a little."""
    accounts = fresh("sv3", 5)
    backend = down("sv3")
    wanted = {account: set() for account in accounts}
    for number in range(80):
        account = accounts[number % 5]
        subject = f"survivor {number:03}"
        assert clients.send(fe1, [account.address], clients.make_message(subject, [account.address])) == {}
        wanted[account].add(subject)

    def arrived():
        folders = [backend.dovecot.storage(account.address) / "Maildir" / "new" for account in accounts]
        return sum(len(os.listdir(folder)) for folder in folders if folder.exists())

    backend.start()
    kills = 0
    for threshold in (5, 20, 40):
        wait_until(lambda: arrived() >= threshold, "deliveries go on", 60, 0.001)
        victims = fe1.children(role)
        if victims:
            os.kill(victims[0], signal.SIGKILL)
            kills += 1
    assert kills
    for account in accounts:
        wait_until(lambda: wanted[account] <= subjects_at(fe1, account), "all mail arrives", 60, 0.2)
        # A duplicate is right only for what was under way when the process died.
        assert len(clients.read_by_imap(fe1, account)) <= len(wanted[account]) + kills * MOST_UNDER_WAY


MOST_UNDER_WAY = 20


def subjects_at(frontend, account):
    try:
        return set(clients.subjects(clients.read_by_imap(frontend, account)))
    except clients.REFUSALS:
        return set()


class Traffic(Threads):
    """Clients that log in and send mail until told to stop; `troubles` has what went wrong."""

    def __init__(self, frontend, accounts):
        self.frontend = frontend
        self.done, self.troubles = 0, []
        super().__init__(accounts)

    def run(self, account):
        while not self.is_over.is_set():
            try:
                imap = clients.imap_login(self.frontend, account)
                imap.noop()
                imap.logout()
                clients.send(self.frontend, [account.address], clients.make_message("load", [account.address]))
                self.done += 1
            except (OSError, *clients.REFUSALS) as trouble:
                self.troubles.append(repr(trouble))
                return

    def go_on(self, count):
        """Waits until `count` more rounds are done, or something went wrong."""
        until = self.done + count
        wait_until(lambda: self.troubles or self.done >= until, "logins and mail go on", 60)


def test_a_reload_under_load_drops_no_session(cluster, fe1, fresh):
    """Sessions that are open stay, and not one of a stream of new ones fails."""
    imap_account, pop3_account = fresh("sv1"), fresh("sv2")
    with Traffic(fe1, fresh("sv2", 3)) as traffic:
        for _ in range(3):
            sessions = [clients.imap_login(fe1, imap_account) for _ in range(8)]
            pop = clients.pop3_login(fe1, pop3_account)
            before = fe1.children("worker")
            fe1.process.signal(signal.SIGHUP)
            wait_until(lambda: set(fe1.children("worker")) - set(before), "a new generation serves", 20)
            traffic.go_on(10)
            for session in sessions:
                assert session.noop()[0] == "OK"
                session.logout()
            assert pop.noop().startswith(b"+OK")
            pop.quit()
            wait_until(lambda: not set(fe1.children("worker")) & set(before), "the old generation ends", 30)
    assert not traffic.troubles
    assert len(fe1.children("worker")) == cluster.workers


def test_a_reload_with_a_broken_configuration_changes_nothing(fe2, fresh):
    good = fe2.configuration.read_text()
    before = fe2.children("worker")
    try:
        fe2.configuration.write_text(good + "\nnonsense = 1\n")
        size = fe2.process.log_file.stat().st_size
        fe2.process.signal(signal.SIGHUP)

        def complained():
            with open(fe2.process.log_file, errors="replace") as log:
                log.seek(size)
                return "nonsense" in log.read()

        wait_until(complained, "the log names the option", 10)
        assert fe2.serves(fresh("sv1"))
        assert fe2.children("worker") == before
    finally:
        fe2.configuration.write_text(good)


def test_sigterm_ends_everything_cleanly(fe2, fresh):
    session = clients.imap_login(fe2, fresh("sv1"))
    members = fe2.process.members()
    began = time.monotonic()
    assert fe2.stop()
    assert time.monotonic() - began < 10
    assert [pid for pid in members if read_stat(pid) is not None] == []
    session.shutdown()
    fe2.start()


def test_children_run_without_privileges(cluster, fe1):
    if os.getuid() != 0:
        pytest.skip("privileges are dropped only by root")
    for daemon in (fe1, cluster.backends["sv1"].daemon):
        for pid in daemon.process.members():
            status = dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status").read().splitlines()
                          if ":\t" in line)
            if pid == daemon.process.pid:
                continue
            assert set(status["Uid"].split()) == {"65534"}, pid
            assert "0" not in status["Groups"].split()
            assert int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0


def test_a_backend_that_returns_serves_nothing_before_it_has_synchronised(cluster, fresh):
    """A failed server that comes back while slapd is away cannot know what is still its own."""
    account, backend = fresh("sv3"), cluster.backends["sv3"]
    backend.daemon.stop()
    cluster.slapd.stop()
    try:
        backend.daemon.start()
        assert "[UNAVAILABLE]" in clients.refusal(backend.daemon, account, tls=clients.trusting(cluster))
        assert clients.lmtp_answer(backend.daemon, account.address).startswith(b"451")
    finally:
        cluster.slapd.start()
        wait_for_slapd(cluster)
    wait_until(lambda: clients.lmtp_answer(backend.daemon, account.address).startswith(b"250"),
               "sv3 serves once it has synchronised", 30, 0.1)
