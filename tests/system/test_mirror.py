# SPDX-License-Identifier: Apache-2.0
"""Each frontend's copy of the directory: without a directory, with a wrong one, and who has followed it."""
import time

import pytest

from cluster import Network, TroubleError, clients, wait_until
from conftest import outlived_by_slapd, wait_for_slapd
from raw import Raw


def problems(frontend):
    return " ".join(frontend.admin().json("status")[0]["problems"])


@pytest.fixture
def fe2_without_slapd(cluster, fe2):
    """fe2 runs from an existing mirror, and slapd is gone from before its start to after its end."""
    assert fe2.stop()
    cluster.slapd.stop()
    fe2.start()
    yield fe2
    fe2.stop()
    cluster.slapd.start()
    fe2.start()
    wait_for_slapd(cluster)


def test_with_slapd_gone_for_the_whole_run_known_accounts_are_served(cluster, fe1, fresh, arrives, fe2_without_slapd):
    fe2 = fe2_without_slapd
    for host in cluster.backends:
        account = fresh(host)
        assert clients.send(fe2, [account.address], clients.make_message("no slapd", [account.address])) == {}
        arrives(account, "no slapd", fe2)
        assert clients.subjects(clients.read_by_pop3(fe2, account)) == ["no slapd"]
        assert fe1.serves(account)
    for frontend in (fe1, fe2):
        assert clients.smtp_answer(frontend, "never-seen@example.org").startswith(b"451 4.3.0 ")
        with Raw(frontend.address, Network.IMAP) as raw:
            raw.line()
            assert raw.ask(b"a LOGIN never-seen secret").startswith(b"a NO [UNAVAILABLE]")
    assert "the directory is not connected" in problems(fe2)
    assert fe2.admin().run("status", "--check").returncode == 1
    fe2.await_event("event=directory_lost")
    refused = fe2.admin().run("mirror", "verify")
    assert refused.returncode == 1 and "the directory is not connected" in refused.stderr


def test_a_reassignment_shows_which_frontends_route_by_it_and_they_do(cluster, fe1, fe2):
    account = cluster.accounts_of("sv3")[-1]
    try:
        shown = fe1.admin().text("reassign", "--from", "sv3", "--to", "sv2", "--yes")
        assert (fe1.admin().owner(account), fe2.admin().owner(account)) == ("sv2", "sv2")
        for frontend in (fe1, fe2):
            assert f"{frontend.name} routes by the new values after " in shown
    finally:
        lines = fe1.admin().json("restore", "sv3")
        assert (fe1.admin().owner(account), fe2.admin().owner(account)) == ("sv3", "sv3")
    followed = {line["name"]: line["followed"] for line in lines if line["event"] == "node"}
    assert followed == {name: True for name in ("fe1", "fe2", "sv1", "sv2", "sv3")}


def test_a_frontend_that_is_gone_is_named_and_not_waited_for(cluster, fe1, fe2):
    fe2.stop()
    try:
        began = time.monotonic()
        shown = fe1.admin().text("reassign", "--from", "sv3", "--to", "sv2", "--yes")
        shown += fe1.admin().text("restore", "sv3")
        assert time.monotonic() - began < 5
        assert shown.count("fe1 routes by the new values after ") == 2
        assert shown.count("fe2 cannot be asked: ") == 2
    finally:
        fe2.start()


def test_an_aborted_transaction_leaves_no_phantom_a_second_later(cluster, fe1, fe2, fresh):
    accounts = fresh("sv1", 3)
    changes = [f"dn: {account.dn}\nchangetype: modify\nreplace: hostServer\nhostServer: sv2\n" for account in accounts]
    changes.append(f"dn: {accounts[0].dn}\nchangetype: modify\ndelete: description\n")

    def abort_and_wait():
        with pytest.raises(TroubleError, match="ldapmodify"):
            cluster.slapd.tool("ldapmodify", ["-E", "txn=commit"], ldif="\n".join(changes))
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 1, "a second is over", 2, 0.05)
        return [frontend.admin().owner(account) for frontend in (fe1, fe2) for account in accounts]

    assert outlived_by_slapd(cluster, abort_and_wait) == ["sv1"] * 6
    assert cluster.slapd.hosts(accounts[0].address) == ("sv1", None)


def test_verify_finds_the_mirror_right(cluster, frontend):
    assert "the mirror is right" in frontend.admin().text("mirror", "verify")
    result = frontend.admin().json("mirror", "verify")[-1]
    assert result["event"] == "result" and result["entries"] == result["accounts"]


@pytest.fixture
def fe2_that_misses_sv3(cluster, fe2):
    """fe2 reads the directory anew, by a filter that does not show the accounts of sv3."""
    right = fe2.configuration.read_text()
    wrong = right.replace('"(objectClass=mailsteadAccount)"', '"(&(objectClass=mailsteadAccount)(!(hostServer=sv3)))"')
    assert wrong != right
    fe2.stop()
    fe2.configuration.write_text(wrong)
    fe2.start()
    wait_until(lambda: held(fe2) > 0, "accounts are held", 30, 0.1)
    yield fe2
    fe2.stop()
    fe2.configuration.write_text(right)
    fe2.start()
    wait_until(lambda: held(fe2) == 0 and fe2.serves(cluster.accounts_of("sv3")[-1]), "fe2 knows all accounts", 30, 0.1)


def held(frontend):
    return frontend.admin().json("mirror", "status")[0]["held"]


def test_what_a_refresh_seems_to_have_lost_is_served_until_somebody_decides(cluster, fresh, fe2_that_misses_sv3):
    fe2, lost, other = fe2_that_misses_sv3, fresh("sv3"), fresh("sv1")
    domain, = fe2.admin().json("mirror", "status")[0]["held_domains"]
    assert domain["domain"] == "example.org" and 0 < domain["held"] < domain["accounts"]
    assert "example.org" in fe2.admin().text("mirror", "status")
    assert "the directory seems to have lost" in problems(fe2)
    assert fe2.serves(lost)
    cluster.slapd.set_host(other, "sv2", "sv1")
    wait_until(lambda: fe2.admin().owner(other) == "sv2", "changes are followed meanwhile", 5, 0.05)
    cluster.slapd.set_host(other, "sv1")

    assert f"kept {domain['held']} accounts" in fe2.admin().text("mirror", "discard")
    assert "the directory seems to have lost" not in problems(fe2)
    assert fe2.serves(lost) and held(fe2) == domain["held"]

    assert f"removed {domain['held']} accounts" in fe2.admin().text("mirror", "accept")
    assert held(fe2) == 0
    assert not fe2.admin().owner(lost)
    assert "nothing is held" in fe2.admin().text("mirror", "accept")
