# SPDX-License-Identifier: Apache-2.0
"""A failed backend is back on its sibling by one command, with one owner at every moment, and comes home."""
import json

import pytest
from cluster import Network, clients, wait_until
from conftest import giver, running, wait_for_health
from failover_cluster import FailoverCluster, Owners, kill_at, refuses

OK, FAILED, REFUSED, PARTLY, CONTENDED = 0, 1, 3, 4, 5
PHASES = ["look", "let go", "attach", "rewrite", "follow"]


@pytest.fixture(scope="module")
def trio(build, request):
    with running(lambda folder: FailoverCluster(folder, Network.find(), build), request) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def taken(trio):
    return giver(trio)


@pytest.fixture(autouse=True)
def home(trio):
    """After each test everybody is at home."""
    trio.fenced()
    before = trio.hosts()
    yield
    for word in ("hangs", "refuses"):
        trio.fence(word, False)
    trio.start_nodes(*trio.backends)
    for name in trio.backends:
        trio.lines("failback", name)
    assert trio.hosts() == before
    for name in trio.backends:
        wait_for_health(trio, name)


def phases(lines):
    return [line["phase"] for line in lines if line["event"] == "phase"]


def send(trio, account, subject):
    clients.send(trio.frontends["fe2"], [account.address], clients.make_message(subject, [account.address]))


def mail(trio, account):
    """The subjects in the account's INBOX; None while it cannot log in."""
    try:
        return sorted(clients.subjects(clients.read_by_imap(trio.frontends["fe2"], account)))
    except clients.REFUSALS:
        return None


def wait_for_mail(trio, account, *subjects):
    wait_until(lambda: mail(trio, account) == sorted(subjects), f"{account.address} has {subjects}", 30, 0.05)


def test_a_killed_backend_is_served_by_its_sibling_and_comes_home(trio, taken):
    account = taken("sv1")
    count = len(trio.accounts_of("sv1"))
    send(trio, account, "old")
    wait_for_mail(trio, account, "old")
    trio.backends["sv1"].kill()
    send(trio, account, "queued")
    lines = trio.lines("failover", "sv1")
    assert phases(lines) == PHASES
    assert lines[-1]["event"] == "end" and lines[-1]["on"] == "sv2" and lines[-1]["ms"] < 20000
    assert trio.fenced() == [f"off sv1 {trio.backends['sv1'].address}"]
    assert trio.hosts()[("sv2", "sv1")] == count
    wait_for_mail(trio, account, "old", "queued")
    plan = trio.order("plan", "--check")
    assert plan.returncode == FAILED and f"{count} accounts of sv1 on sv2" in plan.stdout

    trio.start_nodes("sv1")
    assert refuses(trio, "sv1", account), "a backend that comes back serves what was moved away"
    send(trio, account, "away")
    wait_for_mail(trio, account, "away", "old", "queued")
    lines = trio.lines("failback", "sv1")
    assert phases(lines) == ["look", "release", "return", "rewrite", "follow"]
    assert trio.hosts()[("sv1", "")] == count
    send(trio, account, "home")
    wait_for_mail(trio, account, "away", "home", "old", "queued")
    assert refuses(trio, "sv2", account)
    assert trio.order("plan", "--check").returncode == OK


def test_a_planned_one_needs_no_fence_and_loses_nothing(trio, taken):
    account = taken("sv2")
    send(trio, account, "old")
    wait_for_mail(trio, account, "old")
    session = clients.imap_login(trio.frontends["fe2"], account)
    trio.fence("refuses")
    with Owners(trio, account) as owners:
        trio.lines("failover", "sv2", "--planned", "--to", "sv1", "--deadline", "1s")
        wait_until(lambda: trio.frontends["fe2"].serves(account), "sv1 serves the account", 20)
        owners.wait_for("sv1")
        trio.lines("failback", "sv2")
        wait_until(lambda: trio.frontends["fe2"].serves(account), "sv2 serves the account", 20)
        owners.wait_for("sv2")
    assert owners.seen == [["sv2"], ["sv1"], ["sv2"]]
    trio.lines("failover", "sv2", "--planned", "--to", "sv1", "--deadline", "1s")
    assert trio.fenced() == []
    assert trio.node("sv2")["state"] == "left"
    plan = trio.order("plan", "--check")
    assert plan.returncode == FAILED and "sv1 has the sibling sv2, which is left" in plan.stdout
    with pytest.raises(clients.REFUSALS):
        assert session.noop()[0] == "OK"
    send(trio, account, "new")
    wait_for_mail(trio, account, "new", "old")
    assert trio.hosts()[("sv1", "sv2")] == len(trio.accounts_of("sv2"))


def test_with_fencing_refused_nothing_moves(trio):
    before = trio.hosts()
    trio.backends["sv1"].kill()
    trio.fence("refuses")
    done = trio.order("failover", "sv1")
    assert done.returncode == REFUSED
    assert "sv1 was not fenced" in done.stderr and "ended with status 1: no power switch" in done.stderr
    trio.fence("refuses", False)
    trio.fence("hangs")
    done = trio.order("failover", "sv1")
    assert done.returncode == REFUSED and "did not end in time and was killed" in done.stderr
    assert trio.hosts() == before
    assert [row["server"] for row in trio.node("sv2")["storages"] if row["state"] == "attached"] == ["sv2"]


def test_a_word_counts_only_for_what_is_off(trio, taken):
    account = taken("sv1")
    send(trio, account, "old")
    wait_for_mail(trio, account, "old")
    trio.set_fence(False)
    before = trio.hosts()
    try:
        trio.backends["sv1"].kill()
        done = trio.order("failover", "sv1")
        assert done.returncode == REFUSED and "--is-off sv1" in done.stderr
        assert trio.order("failover", "sv1", "--is-off", "sv2").returncode == REFUSED
        assert trio.hosts() == before
        trio.lines("failover", "sv1", "--is-off", "sv1")
        wait_for_mail(trio, account, "old")
    finally:
        trio.set_fence(True)


def test_the_next_sibling_takes_over_when_the_first_is_down(trio, taken):
    account = taken("sv1")
    for name in ("sv1", "sv2"):
        trio.backends[name].kill()
    done = trio.order("failover", "sv1", "--to", "sv2")
    assert done.returncode == REFUSED and "--to sv3" in done.stderr
    assert trio.fenced() == []
    lines = trio.lines("failover", "sv1")
    assert any("sv2 cannot take the accounts of sv1" in line["text"] for line in lines if line["event"] == "note")
    wait_until(lambda: trio.frontends["fe2"].serves(account), "sv3 serves the account", 20)
    assert trio.hosts()[("sv3", "sv1")] == len(trio.accounts_of("sv1"))


def test_a_second_failure_takes_along_what_was_adopted(trio, taken):
    account = taken("sv1")
    send(trio, account, "old")
    wait_for_mail(trio, account, "old")
    trio.backends["sv1"].kill()
    trio.lines("failover", "sv1")
    trio.backends["sv2"].kill()
    trio.lines("failover", "sv2")
    hosts = trio.hosts()
    assert hosts[("sv3", "sv1")] == len(trio.accounts_of("sv1"))
    assert hosts[("sv3", "sv2")] == len(trio.accounts_of("sv2"))
    wait_for_mail(trio, account, "old")


@pytest.mark.parametrize("phase", ["let go", pytest.param("look", marks=pytest.mark.long),
                                   pytest.param("attach", marks=pytest.mark.long),
                                   pytest.param("rewrite", marks=pytest.mark.long)])
def test_a_run_that_is_killed_goes_on(trio, taken, phase):
    account = taken("sv1")
    send(trio, account, "old")
    wait_for_mail(trio, account, "old")
    trio.backends["sv1"].kill()
    assert kill_at(trio, phase, "failover", "sv1") == -9
    lines = trio.lines("failover", "sv1")
    assert phases(lines) == PHASES and lines[-1]["on"] == "sv2"
    wait_for_mail(trio, account, "old")
    trio.start_nodes("sv1")
    back = {"look": "look", "let go": "release", "attach": "return", "rewrite": "rewrite"}[phase]
    assert kill_at(trio, back, "failback", "sv1") == -9
    trio.lines("failback", "sv1")
    wait_for_mail(trio, account, "old")


def test_of_two_at_once_one_is_told_of_the_other(trio):
    trio.backends["sv1"].kill()
    trio.fence("hangs")
    first = trio.begin("failover", "sv1")
    wait_until(lambda: (trio.folder / "fence.log").read_text(), "the first one fences", 20)
    try:
        second = trio.order("failover", "sv1")
        assert second.returncode == CONTENDED and "is under way" in second.stderr
        assert trio.order("failback", "sv1").returncode == CONTENDED
    finally:
        trio.fence("hangs", False)
        out, err = first.communicate(timeout=60)
    assert first.returncode == OK, out + err
