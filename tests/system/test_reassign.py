# SPDX-License-Identifier: Apache-2.0
"""Accounts move: one by hand, all of a backend by `mailstead reassign` and back by `restore`."""
import time

import pytest

from cluster import clients, wait_until


@pytest.fixture
def restored(cluster, fe1):
    """Whatever the test moved from sv3 goes home."""
    yield
    for process in cluster.backends["sv3"].processes():
        if not process.is_running():
            process.start()
    fe1.admin().text("restore", "sv3")
    account = cluster.accounts_of("sv3")[-1]
    for frontend in cluster.frontends.values():
        wait_until(lambda f=frontend: f.serves(account), f"{frontend.name} serves sv3 again", 30)


def test_a_login_follows_a_change_within_one_second(cluster, frontend, fresh):
    account = fresh("sv1")
    assert frontend.serves(account)
    began = time.monotonic()
    cluster.slapd.set_host(account, "sv2", "sv1")
    try:
        wait_until(lambda: frontend.serves(account) and has_served(cluster, "sv2", account),
                   "sv2 serves the login", 5, 0.01)
        assert time.monotonic() - began < 1.0
    finally:
        cluster.slapd.set_host(account, "sv1")


def has_served(cluster, host, account):
    log = cluster.backends[host].dovecot.process.log_file.read_text(errors="replace")
    return f"user=<{account.address}>" in log


def test_a_change_of_owner_ends_the_accounts_open_sessions(cluster, fe1, fresh):
    account, other = fresh("sv1"), fresh("sv1")
    moved, stays = clients.imap_login(fe1, account), clients.imap_login(fe1, other)
    cluster.slapd.set_host(account, "sv2", "sv1")

    def is_closed():
        try:
            return moved.noop()[0] != "OK"
        except clients.REFUSALS:
            return True

    try:
        wait_until(is_closed, "the session of the account that moved ends", 10)
        assert stays.noop()[0] == "OK"
        stays.logout()
    finally:
        cluster.slapd.set_host(account, "sv1")


def test_a_dry_run_changes_nothing(cluster, fe1, fresh):
    account = fresh("sv3")
    said = fe1.admin().text("reassign", "--from", "sv3", "--to", "sv2", "--dry-run")
    assert str(len(cluster.accounts_of("sv3"))) in said
    assert cluster.slapd.hosts(account.address) == ("sv3", None)


def test_reassign_refuses_while_the_backend_still_answers(cluster, fe1, fresh):
    account = fresh("sv3")
    done = fe1.admin().run("reassign", "--from", "sv3", "--to", "sv2")
    assert done.returncode != 0
    assert "sv3" in done.stderr and "--yes" in done.stderr
    assert cluster.slapd.hosts(account.address) == ("sv3", None)


def test_reassign_to_an_unknown_backend_is_refused(fe1):
    for arguments in (("--from", "sv3", "--to", "sv9"), ("--from", "sv9", "--to", "sv1"),
                      ("--from", "sv3", "--to", "sv3")):
        done = fe1.admin().run("reassign", *arguments, "--yes")
        assert done.returncode != 0 and done.stderr


def test_a_dead_backends_accounts_are_served_by_its_sibling_and_come_back(cluster, fe1, fe2, fresh, arrives,
                                                                         restored):
    account, second = fresh("sv3", 2)

    def send(frontend, to, subject):
        assert clients.send(frontend, [to.address], clients.make_message(subject, [to.address])) == {}

    send(fe1, account, "before")
    arrives(account, "before")
    cluster.backends["sv3"].kill()
    send(fe1, account, "queued at fe1")
    send(fe2, account, "queued at fe2")
    send(fe2, second, "queued for the second")
    assert "[UNAVAILABLE]" in clients.refusal(fe1, account)

    count = len(cluster.slapd.search("(hostServer=sv3)", ("uid",)))
    fe1.admin().text("reassign", "--from", "sv3", "--to", "sv2", "--yes")
    began = time.monotonic()
    wait_until(lambda: fe1.serves(account) and fe2.serves(account), "both frontends route to sv2", 5, 0.01)
    assert time.monotonic() - began < 1.0
    assert cluster.slapd.search("(hostServer=sv3)", ("uid",)) == []
    assert len(cluster.slapd.search("(&(hostServer=sv2)(oldHostServer=sv3))", ("uid",))) == count

    everything = ["before", "queued at fe1", "queued at fe2"]
    for frontend in (fe1, fe2):
        wait_until(lambda f=frontend: clients.subjects(clients.read_by_imap(f, account)) == everything,
                   "old and queued mail is read at the sibling", 30, 0.1)
        assert clients.subjects(clients.read_by_pop3(frontend, account)) == everything
    arrives(second, "queued for the second")
    for frontend in (fe1, fe2):
        wait_until(lambda f=frontend: not f.admin().queued(account, second), "nothing waits in the queue", 30)

    cluster.backends["sv3"].start()
    fe1.admin().text("restore", "sv3")
    assert cluster.slapd.hosts(account.address) == ("sv3", None)
    assert len(cluster.slapd.search("(hostServer=sv3)", ("uid",))) == count
    assert cluster.slapd.search("(oldHostServer=*)", ("uid",)) == []
    wait_until(lambda: fe2.serves(account), "sv3 serves again", 10, 0.05)
    send(fe2, account, "after")
    arrives(account, "after")
    assert clients.subjects(clients.read_by_imap(fe2, account)) == sorted([*everything, "after"])


def test_a_second_reassign_finds_nothing_to_do(cluster, fe1, restored):
    cluster.backends["sv3"].kill()
    fe1.admin().text("reassign", "--from", "sv3", "--to", "sv1", "--yes")
    before = cluster.slapd.search("(oldHostServer=sv3)", ("uid", "entryCSN"))
    fe1.admin().text("reassign", "--from", "sv3", "--to", "sv1", "--yes")
    assert cluster.slapd.search("(oldHostServer=sv3)", ("uid", "entryCSN")) == before


def test_a_backend_refuses_an_account_that_it_does_not_own(cluster, fresh):
    """Whoever asks the wrong node gets a temporary refusal, never another user's or an empty mailbox."""
    account, gate = fresh("sv1"), cluster.backends["sv2"].daemon
    tls = clients.trusting(cluster)
    assert "[UNAVAILABLE ELSEWHERE]" in clients.refusal(gate, account, tls=tls)
    with pytest.raises(clients.REFUSALS) as refused:
        clients.pop3_login(gate, account, tls=tls)
    assert "[SYS/TEMP/ELSEWHERE]" in str(refused.value)
    assert clients.lmtp_answer(gate, account.address).startswith(b"451")
    assert clients.lmtp_answer(cluster.backends["sv1"].daemon, account.address).startswith(b"250")
