# SPDX-License-Identifier: Apache-2.0
"""What `mailstead reassign` and `restore` offer: which accounts, how fast, for good, and the journal."""
import os
import pty
import signal
import stat
import subprocess

import pytest

from cluster import wait_until
from cluster.mailstead import parse_json_texts
from desk import Journal, account_ldif, result_of, wait_for_journal

MOVE = ("reassign", "--from", "sv1", "--to", "sv2", "--yes")
BACK = ("restore", "sv1", "--yes")


def accounts(first, last, host="sv1", old_host=None):
    return "".join(account_ldif(number, host, old_host) for number in range(first, last + 1))


def everyone(numbers, host, old_host=None):
    return {f"user{number}": ([host], [old_host] if old_host else []) for number in numbers}


# -- which accounts -------------------------------------------------------------------------------


def test_only_the_accounts_of_a_domain_move_and_come_back(desk):
    table = desk(accounts(1, 40))
    done = table.run(*MOVE, "--domain", "EXAMPLE.net")
    assert done.returncode == 0, done.stderr
    assert "changed 4 accounts from sv1 to sv2" in done.stdout
    tens = [10, 20, 30, 40]
    others = [number for number in range(1, 41) if number not in tens]
    assert table.hosts() == {**everyone(tens, "sv2", "sv1"), **everyone(others, "sv1")}
    assert "changed 36 accounts" in table.run(*MOVE, "--domain", "example.org", "--domain", "example.net").stdout
    assert "changed 36 accounts" in table.run(*BACK, "--domain", "example.org").stdout
    assert table.hosts() == {**everyone(tens, "sv2", "sv1"), **everyone(others, "sv1")}


def test_a_filter_narrows_the_list_with_and_without_its_parentheses(desk):
    table = desk(accounts(1, 30))
    assert "changed 2 accounts" in table.run(*MOVE, "--filter", "(|(uid=user1)(uid=user2))").stdout
    assert "changed 10 accounts" in table.run(*MOVE, "--filter", "uid=user1*").stdout
    hosts = table.hosts()
    assert hosts["user2"] == hosts["user19"] == (["sv2"], ["sv1"])
    assert hosts["user3"] == (["sv1"], [])
    assert "changed 1 account back" in table.run(*BACK, "--filter", "mail=user2@example.org").stdout


def test_special_characters_in_addresses_and_names_are_only_characters(desk):
    odd = r"uid=a*(b)\\5c,ou=people,dc=example,dc=org"
    ldif = (f"dn: {odd}\nobjectClass: inetOrgPerson\nobjectClass: mailsteadAccount\n"
            "uid: a*(b)\\\ncn: x\nsn: x\nmail: a*(b)\\@example.org\nhostServer: s*v(1)\\\n\n")
    table = desk(accounts(1, 5) + accounts(6, 9, "sv1x)") + ldif, backends=("s*v(1)\\\\", "sv2", "sv1"))
    done = table.run("reassign", "--from", "s*v(1)\\", "--to", "sv2", "--yes")
    assert "changed 1 account from" in done.stdout, done.stderr
    assert table.count("(&(hostServer=sv2)(oldHostServer=s\\2av\\281\\29\\5c))") == 1
    assert table.count("(hostServer=sv1)") == 5
    assert "changed 1 account back" in table.run("restore", "s*v(1)\\", "--yes").stdout
    entry = Journal(table.journal_files()[-1]).entries
    assert [hosts for hosts, _, fate in entry.values() if fate == "done"] == [["sv2", "s*v(1)\\"]]


def test_a_limit_ends_a_run_and_says_how_many_are_left(desk):
    table = desk(accounts(1, 25))
    done = table.run(*MOVE, "--limit", "10")
    assert (done.returncode, table.count("(hostServer=sv2)")) == (0, 10)
    assert "not done yet: 15, as --limit asks" in done.stdout
    result = result_of(table.run(*MOVE, "--limit", "10", "--json"))
    assert (result["moved"], result["left"], result["end"]) == (10, 5, "done")
    done = table.run(*MOVE, "--limit", "10")
    assert (done.returncode, table.count("(hostServer=sv2)")) == (0, 25)
    assert "not done yet" not in done.stdout
    assert "changed 7 accounts back to sv1" in table.run(*BACK, "--limit", "7").stdout


def test_a_rate_is_kept(desk):
    table = desk(accounts(1, 40))
    result = result_of(table.run(*MOVE, "--rate", "20", "--json"))
    assert result["moved"] == 40
    assert 1800 <= result["elapsed_ms"] < 6000
    assert "in 0.2 s or more" in table.run(*BACK, "--rate", "200", "--dry-run").stdout


def test_a_dry_run_changes_and_writes_nothing(desk):
    table = desk(accounts(1, 30))
    before = table.hosts()
    done = table.run(*MOVE, "--dry-run", "--domain", "example.net", "--limit", "2", "--permanent")
    assert done.returncode == 0
    assert "would change 2 accounts from sv1 to sv2 for good\nwould be left: 1" in done.stdout
    assert table.hosts() == before
    assert table.journal_files() == []


# -- the hosts ------------------------------------------------------------------------------------


def test_a_permanent_move_leaves_no_old_host(desk):
    table = desk(accounts(1, 10) + accounts(11, 12, "sv1", "sv3") + accounts(13, 15, "sv2", "sv1")
                 + accounts(16, 17, "sv2", "sv3"))
    done = table.run(*MOVE, "--permanent")
    assert "changed 15 accounts from sv1 to sv2 for good" in done.stdout, done.stderr
    assert table.hosts() == {**everyone(range(1, 16), "sv2"), **everyone((16, 17), "sv2", "sv3")}
    assert Journal(table.journal_files()[0]).head["permanent"] is True
    assert "nothing to do" in table.run(*MOVE, "--permanent").stdout


def test_an_old_host_is_kept_unless_the_account_comes_home(desk):
    table = desk(accounts(1, 3) + accounts(4, 5, "sv1", "sv3") + accounts(6, 7, "sv1", "sv2"))
    assert table.run(*MOVE).returncode == 0
    assert table.hosts() == {**everyone((1, 2, 3), "sv2", "sv1"), **everyone((4, 5), "sv2", "sv3"),
                             **everyone((6, 7), "sv2")}


def test_restore_is_the_way_back_and_leaves_new_accounts_at_the_sibling(desk):
    table = desk(accounts(1, 30) + accounts(31, 40, "sv2"))
    before = table.hosts()
    assert table.run(*MOVE).returncode == 0
    table.modify("".join(account_ldif(number, "sv2").replace("\nobjectClass", "\nchangetype: add\nobjectClass", 1)
                         for number in (41, 42)))
    done = table.run(*BACK)
    assert "changed 30 accounts back to sv1" in done.stdout
    assert table.hosts() == {**before, **everyone((41, 42), "sv2")}
    assert "nothing to do: no account was reassigned from sv1" in table.run(*BACK).stdout


# -- the journal ----------------------------------------------------------------------------------


def test_the_journal_says_who_changed_what_from_what_to_what(desk):
    table = desk(accounts(1, 1200) + accounts(1201, 1210, "sv1", "sv2"))
    before = table.hosts()
    result = result_of(table.run(*MOVE, "--filter", "uid=user*", "--json"))
    [file] = table.journal_files()
    assert result["journal"] == str(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    journal = Journal(file)
    journal.assert_true_of(before, table.hosts())
    assert len(journal.entries) == 1210
    assert {fate for _, _, fate in journal.entries.values()} == {"done"}
    assert journal.entries["user7"] == (["sv1", "sv2"], [None, "sv1"], "done")
    assert journal.entries["user1201"] == (["sv1", "sv2"], ["sv2", None], "done")
    head = {name: journal.head[name] for name in ("command", "from", "to", "filter", "server", "configuration", "uid")}
    assert head == {"command": "reassign", "from": "sv1", "to": "sv2", "filter": "(uid=user*)", "server": table.uri,
                    "configuration": str(table.configuration), "uid": os.getuid()}
    assert (journal.end["end"], journal.end["moved"]) == ("done", 1210)


def test_each_run_has_a_journal_and_none_without_a_change(desk, tmp_path):
    table = desk(accounts(1, 3))
    table.run(*MOVE)
    table.run(*MOVE)
    table.run(*BACK, "--journal", tmp_path / "mine")
    assert [file.name.split("-")[0] for file in table.journal_files()] == ["reassign"]
    [file] = (tmp_path / "mine").iterdir()
    assert Journal(file).head["command"] == "restore"


def test_after_kill_9_the_journal_knows_what_may_have_changed(desk):
    table = desk(accounts(1, 4000))
    for lines in (2, 3, 501, 502, 1004, 1500):
        before = table.hosts()
        count = len(table.journal_files())
        process = table.launch(*MOVE)
        wait_until(lambda: len(table.journal_files()) > count, "a journal", 20, 0.002)
        wait_for_journal(table, lines)
        process.kill()
        process.communicate()
        after = table.settled_hosts()
        Journal(table.journal_files()[-1]).assert_true_of(before, after)
        moved = [uid for uid, hosts in after.items() if hosts == (["sv2"], ["sv1"])]
        left = [uid for uid, hosts in after.items() if hosts == (["sv1"], [])]
        assert len(moved) + len(left) == 4000
        if not left:
            break
    assert table.run(*MOVE).returncode == 0
    assert table.hosts() == everyone(range(1, 4001), "sv2", "sv1")


# -- interrupts and progress ----------------------------------------------------------------------


def test_control_c_stops_cleanly_and_says_what_is_done_and_left(desk):
    table = desk(accounts(1, 500))
    before = table.hosts()
    process = table.launch(*MOVE, "--rate", "50")
    wait_for_journal(table, 20)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    moved = table.count("(hostServer=sv2)")
    assert process.returncode == 4
    assert 0 < moved < 500
    assert f"changed {moved} account" in out and f"not done yet: {500 - moved}" in out
    assert "Control-C again kills" in err and "run the same command again" in err
    journal = Journal(table.journal_files()[-1])
    journal.assert_true_of(before, table.hosts())
    assert journal.end["end"] == "interrupted"
    assert {fate for _, _, fate in journal.entries.values()} == {"done"}
    assert table.run(*MOVE).returncode == 0
    assert table.hosts() == everyone(range(1, 501), "sv2", "sv1")


def test_a_second_control_c_kills(desk):
    table = desk(accounts(1, 500))
    process = table.launch(*MOVE, "--rate", "50")
    wait_for_journal(table, 20)
    os.kill(table.slapd.pid, signal.SIGSTOP)  # what is in flight has no end
    try:
        wait_until(lambda: '"intended"' in table.journal_files()[-1].read_text().splitlines()[-1],
                   "changes are in flight", 10)
        process.send_signal(signal.SIGINT)
        wait_until(lambda: caught(process.pid) == 0, "the first one is taken", 10)
        assert any("Control-C again kills" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    finally:
        os.kill(table.slapd.pid, signal.SIGCONT)
    assert process.returncode == -signal.SIGINT


def caught(pid):
    """Whether the process has a handler for SIGINT."""
    with open(f"/proc/{pid}/status") as status:
        mask = next(line.split()[1] for line in status if line.startswith("SigCgt"))
    return int(mask, 16) >> (signal.SIGINT - 1) & 1


def test_progress_is_lines_in_a_file_and_one_line_on_a_terminal(desk):
    table = desk(accounts(1, 60))
    done = table.run(*MOVE, "--rate", "20")
    lines = [line for line in done.stderr.splitlines() if "a second" in line]
    assert len(lines) >= 2 and all(line.startswith("changing: ") for line in lines)
    assert " of 60 done" in lines[0] and " left" in lines[0]
    main, other = pty.openpty()
    process = subprocess.Popen(table.command(*BACK, "--rate", "40"), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=other)
    os.close(other)
    shown = b""
    try:
        while piece := os.read(main, 4096):
            shown += piece
    except OSError:
        pass  # that is how the other end of a terminal says that it is closed
    process.communicate()
    os.close(main)
    assert process.returncode == 0
    assert shown.count(b"\rchanging: ") >= 3 and b"\n" not in shown


def test_progress_in_json_has_the_phase_and_the_rate(desk):
    table = desk(accounts(1, 60))
    progress = [line for line in table_json(table, *MOVE, "--rate", "30") if line["event"] == "progress"]
    assert progress and {line["phase"] for line in progress} <= {"connecting", "listing", "changing"}
    assert 20 <= progress[-1]["rate"] <= 45


def table_json(table, *words):
    return parse_json_texts(table.run(*words, "--json").stdout)


# -- two at once ----------------------------------------------------------------------------------


def fates(table):
    """{uid: the (command, to) of the journals in which it is done}, over all journals."""
    done = {}
    for file in table.journal_files():
        journal = Journal(file)
        for uid, (_, _, fate) in journal.entries.items():
            if fate == "done":
                done.setdefault(uid, []).append((journal.head["command"], journal.head["to"]))
    return done


def test_of_two_administrators_one_sees_the_other_and_nothing_is_wrong(desk):
    table = desk(accounts(1, 2000))
    first = table.launch(*MOVE, "--rate", "400")
    wait_for_journal(table, 100)
    second = table.launch("reassign", "--from", "sv1", "--to", "sv3", "--yes", "--rate", "400")
    ends = [(process.communicate(timeout=60), process.returncode) for process in (first, second)]
    codes = [code for _, code in ends]
    assert 5 in codes and set(codes) <= {0, 5}, ends
    for (_, err), code in ends:
        assert code != 5 or "somebody else changes these entries too: uid=user" in err
    assert f"{table.journals}: another run keeps its journal here just now" in ends[1][0][1]
    done = fates(table)
    for uid, (hosts, old_hosts) in table.hosts().items():
        moves = done.get(uid, [])
        assert len(moves) <= 1, f"{uid} was moved by both"
        expected = ([moves[0][1]], ["sv1"]) if moves else (["sv1"], [])
        assert (hosts, old_hosts) == expected


@pytest.mark.parametrize("rate", [200, 500])
def test_reassign_and_restore_at_once_leave_every_account_whole(desk, rate):
    table = desk(accounts(1, 600) + accounts(601, 1200, "sv2", "sv1"))
    first = table.launch(*MOVE, "--rate", rate)
    wait_for_journal(table, 50)
    second = table.launch(*BACK, "--rate", rate)
    codes = [(process.communicate(timeout=60), process.returncode)[1] for process in (first, second)]
    assert set(codes) <= {0, 5}
    for uid, hosts in table.hosts().items():
        assert hosts in ((["sv1"], []), (["sv2"], ["sv1"])), uid
    assert table.run(*BACK).returncode == 0
    assert table.hosts() == everyone(range(1, 1201), "sv1")
