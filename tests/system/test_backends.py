# SPDX-License-Identifier: Apache-2.0
"""Backends from the directory: one entry adds, changes and removes one while the frontends run."""
import signal
import smtplib
import time

import pytest

from cluster import clients, wait_until
from cluster.accounts import BACKENDS
from cluster.network import Network


@pytest.fixture
def listed(cluster):
    """sv4 has an entry that every frontend knows; it and its accounts are gone when the test is over."""
    cluster.slapd.list_backend(cluster.spare, backendWeight=7)
    for frontend in cluster.frontends.values():
        wait_until(lambda f=frontend: shown(f, "sv4"), f"{frontend.name} knows sv4", 10, 0.02)
    yield cluster.spare
    if cluster.slapd.search("(hostServer=sv4)", ("uid",)):
        cluster.frontends["fe1"].admin().text("restore", "sv1", "--yes")
    if cluster.slapd.search("(cn=sv4)", ("cn",), base=BACKENDS):
        cluster.slapd.unlist_backend("sv4")
    for frontend in cluster.frontends.values():
        wait_until(lambda f=frontend: not shown(f, "sv4"), f"{frontend.name} has forgotten sv4", 20, 0.1)


def shown(frontend, name):
    """What `mailstead status` shows of a backend; None when it does not."""
    for backend in frontend.admin().json("status")[0]["backends"]:
        if backend["backend"] == name:
            return backend
    return None


def state_of(frontend, name):
    return (shown(frontend, name) or {}).get("state")


def move_to_sv4(cluster, frontend, account):
    """By the administrator's command, which asks the daemon whether there is an sv4."""
    frontend.admin().text("reassign", "--from", "sv1", "--to", "sv4", "--filter", f"(uid={account.uid})", "--yes")
    assert cluster.slapd.hosts(account.address) == ("sv4", "sv1")


def is_served_by_sv4(cluster, frontend, account):
    log = cluster.spare.dovecot.process.log_file
    return frontend.serves(account) and f"user=<{account.address}>" in log.read_text(errors="replace")


def send(frontend, account, subject):
    assert clients.send(frontend, [account.address], clients.make_message(subject, [account.address])) == {}


def test_an_entry_adds_a_backend_within_two_seconds(cluster, fe1, fe2, fresh, arrives, request):
    account = fresh("sv1")
    done = fe1.admin().run("reassign", "--from", "sv1", "--to", "sv4", "--yes")
    assert done.returncode != 0 and "sv4" in done.stderr
    began = time.monotonic()
    request.getfixturevalue("listed")
    assert time.monotonic() - began < 2.0
    backend = shown(fe1, "sv4")
    assert (backend["source"], backend["state"], backend["weight"]) == ("directory", "up", 7)
    assert shown(fe1, "sv1")["source"] == "configuration"
    wait_until(lambda: shown(fe1, "sv4")["imap"]["state"] == "up", "sv4 is probed", 10, 0.05)
    cluster.slapd.set_host(account, "sv5")
    wait_until(lambda: "no known backend" in fe1.admin().text("lookup", account.address), "the lookup tells", 5, 0.02)
    cluster.slapd.set_host(account, "sv1")
    wait_until(lambda: "on backend sv1" in fe1.admin().text("lookup", account.address), "fe1 has followed", 5, 0.02)
    began = time.monotonic()
    move_to_sv4(cluster, fe1, account)
    for frontend in (fe1, fe2):
        wait_until(lambda f=frontend: is_served_by_sv4(cluster, f, account), "sv4 serves the login", 5, 0.02)
        send(frontend, account, f"by {frontend.name}")
        arrives(account, f"by {frontend.name}", frontend)
    assert time.monotonic() - began < 10.0


def test_leaving_goes_on_and_is_told(cluster, fe1, fresh, listed, arrives):
    account = fresh("sv1")
    move_to_sv4(cluster, fe1, account)
    cluster.slapd.change_backend("sv4", "backendState", "leaving")
    wait_until(lambda: state_of(fe1, "sv4") == "leaving", "fe1 knows the state", 5, 0.02)
    assert fe1.serves(account)
    send(fe1, account, "to one that leaves")
    arrives(account, "to one that leaves")
    assert "backend sv4 is leaving" in fe1.admin().run("status", "--check").stdout
    assert 'backend "sv4": is set leaving' in fe1.admin().run("check").stderr


def test_down_holds_logins_and_queues_mail_at_once_and_up_serves_again(cluster, fe1, fresh, listed, arrives):
    account = fresh("sv1")
    move_to_sv4(cluster, fe1, account)
    wait_until(lambda: fe1.serves(account), "sv4 serves the login", 5, 0.02)
    cluster.slapd.change_backend("sv4", "backendState", "down")
    wait_until(lambda: state_of(fe1, "sv4") == "down", "fe1 knows the state", 5, 0.02)
    wait_until(lambda: "[UNAVAILABLE]" in clients.refusal(fe1, account), "the login is refused for now", 10, 0.1)
    send(fe1, account, "waits for sv4")
    assert fe1.admin().queued(account) == 1
    cluster.slapd.change_backend("sv4", "backendState", "up")
    arrives(account, "waits for sv4")


def test_a_wrong_entry_leaves_the_last_good_values(cluster, fe1, fresh, listed):
    account = fresh("sv1")
    move_to_sv4(cluster, fe1, account)
    cluster.slapd.change_backend("sv4", "backendAddress", "not an address")
    wait_until(lambda: "event=backend_ignored" in fe1.process.log_file.read_text(errors="replace"),
               "the log names the entry", 10, 0.05)
    assert shown(fe1, "sv4")["addresses"] == [cluster.spare.address]
    wait_until(lambda: fe1.serves(account), "sv4 serves the login", 5, 0.02)


def test_it_is_known_after_a_restart_without_the_directory(cluster, fe2, fresh, listed, no_slapd_later):
    account = fresh("sv1")
    move_to_sv4(cluster, fe2, account)
    wait_until(lambda: fe2.serves(account), "sv4 serves the login", 5, 0.02)
    no_slapd_later()
    fe2.stop()
    fe2.start()
    assert shown(fe2, "sv4")["source"] == "directory"
    wait_until(lambda: is_served_by_sv4(cluster, fe2, account), "sv4 serves the login", 5, 0.05)


@pytest.fixture
def no_slapd_later(cluster):
    """Stops slapd when it is called; it runs again when the test is over."""
    yield cluster.slapd.stop
    if not cluster.slapd.process.is_running():
        cluster.slapd.start()
        from conftest import wait_for_slapd
        wait_for_slapd(cluster)


def test_sessions_from_before_a_reload_follow_too(cluster, fe1, fresh, arrives, request):
    account = fresh("sv1")
    with smtplib.SMTP(fe1.address, Network.SMTP, timeout=clients.TIMEOUT) as old:
        old.ehlo("client.example.com")
        before = fe1.children("worker")
        fe1.process.signal(signal.SIGHUP)
        wait_until(lambda: set(fe1.children("worker")) - set(before), "a new generation serves", 20)
        request.getfixturevalue("listed")
        move_to_sv4(cluster, fe1, account)
        wait_until(lambda: is_served_by_sv4(cluster, fe1, account), "the new generation knows sv4", 5, 0.02)
        message = clients.make_message("by the old generation", [account.address])
        assert old.sendmail(clients.STRANGER, [account.address], message) == {}
    assert fe1.admin().queued(account) == 0
    arrives(account, "by the old generation")


def test_accounts_of_a_backend_that_was_removed_are_refused_for_now_only(cluster, fe1, fresh, listed):
    account = fresh("sv1")
    move_to_sv4(cluster, fe1, account)
    wait_until(lambda: fe1.serves(account), "sv4 serves the login", 5, 0.02)
    cluster.slapd.unlist_backend("sv4")
    # It was the only entry: with an account on it, it stays.
    wait_until(lambda: "backends from the directory" in fe1.admin().run("status", "--check").stdout,
               "the hold is told", 10, 0.1)
    assert fe1.serves(account)
    fe1.admin().text("restore", "sv1", "--yes")
    wait_until(lambda: fe1.serves(account), "sv1 serves the login", 5, 0.02)


def test_check_finds_the_identities_rights_as_they_should_be(fe1):
    said = fe1.admin().run("check")
    assert said.returncode == 0
    assert "bind_dn" not in said.stderr
