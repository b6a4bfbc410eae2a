# SPDX-License-Identifier: Apache-2.0
"""Accounts move while their sessions are open: who goes when, and where everybody is afterwards."""
import selectors
import time

import pytest

from cluster import clients, wait_until
from raw import log_in
from reloads import reload

RATE = 20  # sessions a second
QUIET_S = 1.1  # after so much silence an end by the backend was not asked for


def ends_of(sessions, seconds):
    """When each of `sessions` ended, in order."""
    ends = []
    with selectors.DefaultSelector() as selector:
        for session in sessions:
            selector.register(session.socket, selectors.EVENT_READ)
        deadline = time.monotonic() + seconds
        while len(ends) < len(sessions):
            ready = selector.select(deadline - time.monotonic())
            assert ready, f"only {len(ends)} of {len(sessions)} sessions ended"
            for key, _ in ready:
                if not key.fileobj.recv(4096):
                    selector.unregister(key.fileobj)
                    ends.append(time.monotonic())
    return ends


def assert_paced(ends, began):
    """No faster than the rate, but for the little that a moment's silence leaves over."""
    for number, moment in enumerate(ends):
        assert moment - began >= (number - 3) / RATE - 0.1, f"session {number} ended after {moment - began:.2f} s"


def move(cluster, accounts, host, old=None):
    """All in one go, as a tool would."""
    cluster.slapd.modify("\n".join(
        f"dn: {account.dn}\nchangetype: modify\nreplace: hostServer\nhostServer: {host}\n-\nreplace: oldHostServer\n"
        + (f"oldHostServer: {old}\n" if old else "") + "-\n" for account in accounts), "mailstead-admin")


@pytest.fixture
def paced(fe2):
    """fe2, whose sessions go slowly."""
    fe2.write_configuration(f"limits {{\n    disconnects_per_second = {RATE}\n}}\n")
    reload(fe2)
    yield fe2
    fe2.write_configuration()
    reload(fe2)


def owners(frontend):
    """The processes that have logged the end of a session of an account that moved."""
    return {line.split()[2] for line in frontend.log().splitlines()
            if "event=end" in line and "the account moved" in line}


def test_sessions_in_two_generations_follow_a_mass_move_at_the_configured_rate(cluster, paced, fresh):
    accounts = fresh("sv1", 15)
    bystander = log_in(paced, fresh("sv2"))
    sessions = [log_in(paced, account) for account in accounts for _ in range(2)]
    reload(paced)
    sessions += [log_in(paced, account) for account in accounts for _ in range(2)]
    last = time.monotonic()
    wait_until(lambda: time.monotonic() - last > QUIET_S, "all are silent")
    began = time.monotonic()
    move(cluster, accounts, "sv2", "sv1")
    # Who is new goes to the new owner at once, whoever still waits.
    wait_until(lambda: paced.admin().owner(accounts[-1]) == "sv2", "the move is followed", 10, 0.01)
    newcomer = log_in(paced, accounts[-1])
    assert logged_in_at(paced, accounts[-1]) == "sv2"
    ends = ends_of(sessions, len(sessions) / RATE + 20)
    assert_paced(ends, began)
    assert len(owners(paced)) >= 2
    assert newcomer.ask(b"b NOOP").startswith(b"b OK")
    assert bystander.ask(b"b NOOP").startswith(b"b OK")
    for account in accounts:
        log_in(paced, account).close()
        assert logged_in_at(paced, account) == "sv2"
    move(cluster, accounts, "sv1")


def logged_in_at(frontend, account):
    """The backend of the last login."""
    logins = [line for line in frontend.log().splitlines()
              if "event=login " in line and f"account={account.address} " in line]
    return logins[-1].partition("backend=")[2].split()[0]


def test_the_sessions_of_a_deleted_account_end_everywhere(cluster, fe1, fe2, fresh):
    account, other = fresh("sv1", 2)
    sessions = [log_in(frontend, account) for frontend in (fe1, fe2) for _ in range(3)]
    bystander = log_in(fe1, other)
    cluster.slapd.delete(account.dn)
    ends_of(sessions, 20)
    assert bystander.ask(b"b NOOP").startswith(b"b OK")
    assert "AUTHENTICATIONFAILED" in clients.refusal(fe1, account)


def test_sessions_stay_while_their_account_has_no_owner_or_two(cluster, fe1, fresh):
    account = fresh("sv1")
    session = log_in(fe1, account)
    try:
        cluster.slapd.modify(f"dn: {account.dn}\nchangetype: modify\nadd: hostServer\nhostServer: sv2\n")
        wait_until(lambda: "[UNAVAILABLE]" in clients.refusal(fe1, account), "it is in doubt", 20)
        assert session.ask(b"b NOOP").startswith(b"b OK")
        cluster.slapd.modify(f"dn: {account.dn}\nchangetype: modify\ndelete: hostServer\n")
        wait_until(lambda: fe1.admin().owner(account) == "", "it has no owner", 20)
        assert session.ask(b"c NOOP").startswith(b"c OK")
    finally:
        cluster.slapd.set_host(account, "sv1")
    wait_until(lambda: fe1.serves(account), "it has its owner again", 20)
    assert session.ask(b"d NOOP").startswith(b"d OK")
