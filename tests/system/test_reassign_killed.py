# SPDX-License-Identifier: Apache-2.0
"""The tool, or the directory server, is killed in the middle of a rewrite, and the rewrite is run again.

Each seed is one run; MAILSTEAD_SEEDS says how many of the long ones (default 10).
"""
import os
import random
import signal
import time
from types import SimpleNamespace

import pytest

from cluster import TroubleError, wait_until
from cluster.mailstead import Admin
from desk import Journal, Proxy, account_ldif

COUNT = 4000
PARTLY, CONTENDED = 4, 5  # exit statuses, mailstead(1)
MOVE = ("reassign", "--from", "sv1", "--to", "sv2", "--yes")
BACK = ("restore", "sv1", "--yes")
TRANSACTION_END = b"1.3.6.1.1.21.3"  # RFC 5805 section 2.4
SEEDS = [*range(2), *(pytest.param(seed, marks=pytest.mark.long)
                      for seed in range(2, int(os.environ.get("MAILSTEAD_SEEDS", "10"))))]


def everyone(host, old_host=None):
    return {f"user{number}": ([host], [old_host] if old_host else []) for number in range(1, COUNT + 1)}


def all_accounts():
    return "".join(account_ldif(number, "sv1") for number in range(1, COUNT + 1))


def launch_and_wait(table, chance, words):
    """A run that has come to a random place; it may be through."""
    files, lines = len(table.journal_files()), chance.randrange(1, COUNT)
    process = table.launch(*words)

    def is_there():
        known = table.journal_files()
        return (process.poll() is not None
                or len(known) > files and len(newest(known).read_text().splitlines()) >= lines)

    wait_until(is_there, "a run comes to its place", 30, 0.002)
    # Somewhere between two lines of the journal: no event marks it.
    time.sleep(chance.random() * 0.05)
    return process


def newest(files):
    return max(files, key=lambda file: file.stat().st_mtime_ns)


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()


def finish(table, words):
    done = table.run(*words)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tool_that_is_killed_loses_and_repeats_nothing_and_leaves_the_server_alive(desk, seed):
    chance = random.Random(seed)
    table = desk(all_accounts())
    server = table.slapd.pid
    for words, expected in ((MOVE, everyone("sv2", "sv1")), (BACK, everyone("sv1"))):
        for _ in range(3):
            kill(launch_and_wait(table, chance, words))
        finish(table, words)  # at once, while the last transaction may still be under way
        assert table.hosts() == expected
        assert table.slapd.pid == server
        assert_each_is_changed_once(table.journal_files(), expected)
        for file in table.journal_files():
            file.unlink()


def assert_each_is_changed_once(files, expected):
    """No entry is done twice, and the last journal that has it says so or knows no better."""
    done = [uid for file in files for uid, (_, _, fate) in Journal(file).entries.items() if fate == "done"]
    assert len(done) == len(set(done))
    assert set().union(*(Journal(file).entries for file in files)) == set(expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_server_that_is_killed_has_what_the_journal_says_and_the_next_run_does_the_rest(desk, seed):
    chance = random.Random(seed)
    table = desk(all_accounts())
    for words, expected in ((MOVE, everyone("sv2", "sv1")), (BACK, everyone("sv1"))):
        before = table.hosts()
        process = launch_and_wait(table, chance, words)
        table.slapd.kill()
        output, errors = process.communicate()
        table.start()
        journal = Journal(newest(table.journal_files()))
        journal.assert_true_of(before, table.hosts())
        if process.returncode != 0:
            assert process.returncode == PARTLY, output + errors
            assert table.uri in errors and "again" in errors
        finish(table, words)
        assert table.hosts() == expected


def test_a_tool_and_a_server_that_are_killed_together_leave_nothing_wrong(desk):
    table = desk(all_accounts())
    process = launch_and_wait(table, random.Random(1), MOVE)
    table.slapd.kill()
    kill(process)
    table.start()
    finish(table, MOVE)
    assert table.hosts() == everyone("sv2", "sv1")


# -- phantoms ---------------------------------------------------------------------------------------


def test_a_transaction_that_fails_leaves_no_frontend_with_a_phantom_route_a_second_later(cluster, fe1):
    """Somebody changes two entries between their listing and the end of the transaction they are in: by then
    the provider has told followers of changes that never come to be."""
    slapd = cluster.slapd
    home = {entry["uid"][0] for entry in slapd.search("(&(hostServer=sv3)(!(oldHostServer=*)))", ("uid",))}
    thirds = [account for account in cluster.accounts_of("sv3") if account.uid in home]
    ours, theirs = thirds[:-2], thirds[-2:]
    failed_at = []

    def judge(sent):
        if TRANSACTION_END in sent and not failed_at:
            for account in theirs:
                slapd.set_host(account, "sv1")
            failed_at.append(time.monotonic())

    proxy = Proxy((slapd.address, slapd.port), slapd.address, judge)
    desk_file = cluster.folder / "contended.conf"
    desk_file.write_text(fe1.configuration.read_text().replace(f'write_uri = "{slapd.uri}"',
                                                               f'write_uri = "{proxy.uri}"'))
    admin = Admin(SimpleNamespace(cluster=cluster, configuration=desk_file))

    def wrong():
        """Who is routed by what the directory does not say."""
        found = []
        for frontend in cluster.frontends.values():
            found += [account.address for account in theirs if route(frontend, account) != "sv1"]
            found += [account.address for account in (ours[0], ours[len(ours) // 2], ours[-1])
                      if route(frontend, account) != "sv2"]
        return found

    try:
        process = admin.run("reassign", "--from", "sv3", "--to", "sv2", "--yes")
        assert process.returncode == CONTENDED, process.stdout + process.stderr
        assert failed_at
        wait_until(lambda: not wrong(), "frontends route by what the directory says",
                   max(0.0, failed_at[0] + 1 - time.monotonic()), 0.01)
        assert all(slapd.hosts(account.address) == ("sv1", None) for account in theirs)
        moved = {entry["uid"][0] for entry in slapd.search("(&(hostServer=sv2)(oldHostServer=sv3))", ("uid",))}
        assert moved == {account.uid for account in ours}
    finally:
        proxy.close()
        fe1.admin().text("restore", "sv3", "--yes")
        for account in theirs:
            slapd.set_host(account, "sv3")
        wait_until(lambda: all(route(frontend, thirds[-1]) == "sv3" for frontend in cluster.frontends.values()),
                   "the accounts are home", 30)


def route(frontend, account):
    try:
        return next(line.get("host") for line in frontend.admin().json("lookup", account.address)
                    if "outcome" in line)
    except TroubleError:
        return None
