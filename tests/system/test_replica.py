# SPDX-License-Identifier: Apache-2.0
"""Copies of accounts on a sibling without shared storage: two real Dovecots, each with its own mail."""
import os
import shutil
import signal
import socket

import pytest

from cluster import Cluster, Network, clients, wait_until
from conftest import giver, running

OPTIONS = """\
    delay_ms = 300
    timeout_s = 2
    retry_min_s = 1
    retry_max_s = 600
    session_s = 1
"""


@pytest.fixture(scope="module")
def pair(build, request):
    """Two backends that copy to each other, one frontend."""
    with running(lambda folder: Cluster(folder, Network.find(), build, account_count=60, workers=1,
                                        backends=("sv1", "sv2"), frontends=("fe1",), replicas=OPTIONS),
                 request) as cluster:
        for name in cluster.backends:
            wait_until(lambda n=name: status(cluster, n)["never"] == 0, f"all of {name} is copied", 60)
        yield cluster


@pytest.fixture(scope="module")
def new(pair):
    return giver(pair)


def admin(pair, name):
    return pair.backends[name].daemon.admin()


def status(pair, name):
    return admin(pair, name).json("replica", "status")[0]


def state_of(pair, name, account):
    """How the copy of `account` stands: the line of `replica status --behind`, None when it is clean."""
    lines = admin(pair, name).json("replica", "status", "--behind")
    return next((line for line in lines if line.get("account") == account.address), None)


def copied(pair, name, account):
    wait_until(lambda: state_of(pair, name, account) is None, f"{account.address} is clean", 20, 0.05)


def messages_at(pair, name, account):
    """The messages in the mail folder on the storage of `name`, whoever owns the account."""
    folder = pair.backends[name].dovecot.storage(account.address) / "Maildir"
    return sorted(file.name for sub in ("new", "cur") for file in (folder / sub).glob("*"))


def deliver(pair, account, subject):
    clients.send(pair.frontends["fe1"], [account.address], clients.make_message(subject, [account.address]))


def move(pair, account, host, old=None):
    fe1 = pair.frontends["fe1"]
    pair.slapd.set_host(account, host, old)
    wait_until(lambda: fe1.admin().json("lookup", account.address)[0].get("host") == host,
               f"the frontend knows that {account.address} is at {host}", 10)
    gate = pair.backends[host].daemon
    wait_until(lambda: gate.admin().json("lookup", account.address)[0].get("host") == host,
               f"{host} knows that {account.address} is its own", 10)


def test_what_is_delivered_is_at_the_sibling_within_two_seconds(pair, new):
    accounts = new("sv1", 5)
    for number in range(30):
        deliver(pair, accounts[number % 5], f"steady {number}")
        if number % 5 == 4:  # a steady load, not a flood
            copied(pair, "sv1", accounts[number // 5 % 5])
    for account in accounts:
        copied(pair, "sv1", account)
        assert len(messages_at(pair, "sv2", account)) == 6
    now = status(pair, "sv1")
    print(f"lag: median {now['lag_median_ms']} ms, p99 {now['lag_p99_ms']} ms")
    assert now["lag_median_ms"] < 2000
    assert "trouble" not in now


def test_flags_that_an_open_session_sets_are_copied(pair, new):
    account = new("sv1")
    deliver(pair, account, "to be read")
    imap = clients.imap_login(pair.frontends["fe1"], account)
    imap.select("INBOX")
    imap.store("1", "+FLAGS", "\\Seen")
    wait_until(lambda: any(name.endswith("S") for name in messages_at(pair, "sv2", account)),
               "the flag is at the sibling while the session is open", 20)
    imap.logout()


def test_a_takeover_and_the_way_back_keep_each_message_once_with_its_flags(pair, new):
    fe1, account = pair.frontends["fe1"], new("sv1")
    for subject in ("kept", "seen", "deleted"):
        deliver(pair, account, subject)
    imap = clients.imap_login(fe1, account)
    imap.select("INBOX")
    imap.store("2", "+FLAGS", "\\Flagged")
    imap.store("3", "+FLAGS", "\\Deleted")
    imap.expunge()
    imap.logout()
    admin(pair, "sv1").text("replica", "sync", account.address)
    move(pair, account, "sv2", "sv1")
    deliver(pair, account, "away")
    assert clients.subjects(clients.read_by_imap(fe1, account)) == ["away", "kept", "seen"]
    imap = clients.imap_login(fe1, account)
    imap.select("INBOX")
    assert b"Flagged" in imap.fetch("2", "(FLAGS)")[1][0]
    imap.store("1", "+FLAGS", "\\Deleted")
    imap.expunge()
    imap.logout()
    admin(pair, "sv2").text("replica", "sync", account.address)
    move(pair, account, "sv1")
    admin(pair, "sv1").text("replica", "sync", account.address)
    assert clients.subjects(clients.read_by_imap(fe1, account)) == ["away", "seen"]
    deliver(pair, account, "home")
    copied(pair, "sv1", account)
    assert clients.subjects(clients.read_by_imap(fe1, account)) == ["away", "home", "seen"]
    assert len(messages_at(pair, "sv2", account)) == 3


def test_the_sibling_knows_what_is_behind_without_the_source(pair, new):
    account = new("sv1")
    wait_until(lambda: admin(pair, "sv2").json("replica", "status", "--server", "sv1")[0]["never"] == 0,
               "sv2 was told that all of sv1 is there", 30)
    pair.backends["sv2"].dovecot.stop()
    deliver(pair, account, "not copied")
    wait_until(lambda: state_of(pair, "sv1", account), "it is behind", 20)
    pair.backends["sv2"].dovecot.start()
    told = [line for line in admin(pair, "sv2").json("replica", "status", "--behind", "--server", "sv1")
            if line.get("account") == account.address]
    assert told == [] or told[0]["state"] in ("dirty", "failing")
    copied(pair, "sv1", account)


def make_stuck(pair, account):
    """sv2 makes an INBOX of its own for it; how its copy stands then, for good."""
    pair.backends["sv1"].dovecot.stop()
    move(pair, account, "sv2")
    shutil.rmtree(pair.backends["sv2"].dovecot.storage(account.address))
    assert clients.read_by_imap(pair.frontends["fe1"], account) == []
    move(pair, account, "sv1")
    pair.backends["sv1"].dovecot.start()
    deliver(pair, account, "here alone")
    return wait_until(lambda: (state_of(pair, "sv1", account) or {}).get("attempts", 0) >= 3 and
                      state_of(pair, "sv1", account), "the account is stuck", 30)


def test_copies_that_have_another_origin_are_told_and_not_tried_again_and_again(pair, new):
    account, other = new("sv1", 2)
    line = make_stuck(pair, account)
    assert line["attempts"] == 3 and "another origin" in line["why"]
    pair.backends["sv1"].daemon.await_event("event=replica_account_stuck account=" + account.address)
    deliver(pair, account, "no reason to hurry")
    deliver(pair, other, "is not held up")
    copied(pair, "sv1", other)
    assert state_of(pair, "sv1", account)["attempts"] == 3
    refused = admin(pair, "sv1").run("replica", "sync", account.address)
    assert refused.returncode == 1 and "another origin" in refused.stderr
    assert len(messages_at(pair, "sv1", account)) == 2 and messages_at(pair, "sv2", account) == []


def test_changes_outlive_the_replica_process(pair, new):
    account, daemon = new("sv1"), pair.backends["sv1"].daemon
    pair.backends["sv2"].dovecot.stop()
    deliver(pair, account, "before the crash")
    wait_until(lambda: state_of(pair, "sv1", account), "it is behind", 20)
    (pid,) = daemon.children("replica")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: daemon.children("replica") not in ([], [pid]), "another one runs", 20)
    pair.backends["sv2"].dovecot.start()
    wait_until(lambda: len(messages_at(pair, "sv2", account)) == 1, "it is copied", 30)


def test_a_wrong_password_holds_copies_up_and_loses_none(pair, new):
    account, daemon = new("sv1"), pair.backends["sv1"].daemon
    secret = daemon.store.doveadm_secret()
    good = secret.read_text()

    def restart_with(password):
        (pid,) = daemon.children("replica")
        secret.write_text(password)
        daemon.process.signal(signal.SIGHUP)
        wait_until(lambda: daemon.children("replica") not in ([], [pid]), "another replica process runs", 20)

    restart_with("not it\n")
    try:
        deliver(pair, account, "waits")
        wait_until(lambda: status(pair, "sv1").get("trouble") == "", "the own Dovecot is in trouble", 20)
        line = wait_until(lambda: state_of(pair, "sv1", account), "it is behind", 10)
        assert line["state"] == "dirty" and "not it" not in daemon.log()
    finally:
        restart_with(good)
    wait_until(lambda: len(messages_at(pair, "sv2", account)) == 1, "it is copied", 60)


def test_a_silent_sibling_is_given_up_and_found_again(pair, new):
    account, sibling = new("sv1"), pair.backends["sv2"].dovecot
    sibling.stop()
    with socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        silent.bind((sibling.address, Network.STORE_DOVEADM))
        silent.listen(50)
        deliver(pair, account, "to nobody")
        line = wait_until(lambda: (state_of(pair, "sv1", account) or {}).get("why") and
                          state_of(pair, "sv1", account), "it failed", 30)
        assert "too long" in line["why"]
    sibling.start()
    wait_until(lambda: len(messages_at(pair, "sv2", account)) == 1, "it is copied", 60)


@pytest.mark.long
def test_a_failover_to_copies_asks_about_those_that_are_not_complete_and_comes_home(pair, new):
    fe1, (account, stuck) = pair.frontends["fe1"], new("sv1", 2)
    deliver(pair, account, "old")
    copied(pair, "sv1", account)
    make_stuck(pair, stuck)
    wait_until(lambda: any(line.get("account") == stuck.address for line in
                           admin(pair, "sv2").json("replica", "status", "--behind", "--server", "sv1")),
               "sv2 was told", 30)
    pair.backends["sv1"].kill()
    words = ("failover", "sv1", "--is-off", "sv1")
    done = fe1.admin().run(*words)
    assert done.returncode == 4 and f"{stuck.address}: " in done.stdout and "--accept-behind" in done.stderr
    assert pair.slapd.hosts(account.address) == ("sv1", None)
    fe1.admin().text(*words, "--accept-behind")
    wait_until(lambda: fe1.serves(account), "sv2 serves the account", 20)
    assert clients.subjects(clients.read_by_imap(fe1, account)) == ["old"]
    deliver(pair, account, "away")
    pair.backends["sv1"].start()
    done = fe1.admin().run("failback", "sv1")
    assert done.returncode == 3 and "could not be synchronised" in done.stderr
    fe1.admin().text("failback", "sv1", "--accept-behind")
    wait_until(lambda: pair.slapd.hosts(account.address) == ("sv1", None) and fe1.serves(account), "sv1 serves it", 20)
    wait_until(lambda: clients.subjects(clients.read_by_imap(fe1, account)) == ["away", "old"], "nothing is lost", 20)
    assert clients.subjects(clients.read_by_imap(fe1, stuck))[-1] == "here alone"
