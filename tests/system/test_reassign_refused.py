# SPDX-License-Identifier: Apache-2.0
"""What stands against a `mailstead reassign`: each has its words and its exit status, and the
directory is as it was, or as the journal says."""
import resource
import signal
import socket

import pytest

from cluster import Network, TroubleError, wait_until
from cluster.accounts import PEOPLE, SUFFIX
from desk import READER, WRITER, Journal, Proxy, account_ldif, result_of

MOVE = ("reassign", "--from", "sv1", "--to", "sv2", "--yes")
FAILED, USAGE, REFUSED, PARTLY = 1, 2, 3, 4
BEGIN, END = b"1.3.6.1.1.21.1", b"1.3.6.1.1.21.3"  # RFC 5805


def accounts(first, last, host="sv1", old_host=None):
    return "".join(account_ldif(number, host, old_host) for number in range(first, last + 1))


def refuse(table, words, status, *parts):
    """Runs it; it ends with `status`, says all `parts`, and changes nothing."""
    before = table.hosts()
    done = table.run(*words)
    assert done.returncode == status, done.stdout + done.stderr
    for part in parts:
        assert part in done.stderr, done.stderr
    assert table.hosts() == before
    return done


# -- the command line -----------------------------------------------------------------------------


def test_names_that_are_none_are_told_with_those_there_are(desk):
    table = desk(accounts(1, 3))
    refuse(table, ("reassign", "--from", "sv1", "--to", "sv9", "--yes"), FAILED,
           '"sv9" is no backend', "there are: sv1 sv2 sv3")
    refuse(table, ("reassign", "--from", "*", "--to", "sv2", "--yes"), FAILED, '"*" is no backend')
    refuse(table, ("reassign", "--from", "sv1", "--to", "sv1", "--yes"), FAILED, "the same backend")
    refuse(table, ("restore", "sv1)(uid=*", "--yes"), FAILED, "is no backend")
    refuse(table, (*MOVE, "--domain", "example.com"), FAILED, '"example.com" is no domain',
           "there are: example.org example.net")
    refuse(table, (*MOVE, "--domain", "*"), FAILED, '"*" is no domain')
    assert table.journal_files() == []


@pytest.mark.parametrize("text", ["(uid=user1", "uid=user1)(hostServer=*", "(&(uid=a)", "()", "(uid=a)(uid=b)",
                                  "(uid=\\zz)", "(!)"])
def test_a_filter_that_is_none_is_refused(desk, text):
    refuse(desk(accounts(1, 3)), (*MOVE, "--filter", text), FAILED, "--filter", "is no search filter")


@pytest.mark.parametrize("words", [("--limit", "0"), ("--limit", "x"), ("--rate", "-1"), ("--rate", ""),
                                   ("--filter", ""), ("--permanently",), ("word",)])
def test_options_that_make_no_sense_are_usage_errors(desk, words):
    refuse(desk(accounts(1, 3)), (*MOVE, *words), USAGE, "usage: ")


# -- who is there ---------------------------------------------------------------------------------


@pytest.fixture
def answering(request):
    """answering(table, "sv1"): that backend accepts connections."""
    listeners = []
    yield lambda table, name: listeners.append(socket.create_server((table.backend_address(name), Network.IMAP)))
    for listener in listeners:
        listener.close()


def test_a_backend_that_still_answers_keeps_its_accounts_without_yes(desk, answering):
    table = desk(accounts(1, 3))
    answering(table, "sv1")
    answering(table, "sv2")
    refuse(table, MOVE[:-1], REFUSED, "sv1 still answers: imap at ", "--yes")
    assert table.run(*MOVE).returncode == 0
    assert table.count("(hostServer=sv2)") == 3


def test_accounts_do_not_go_where_nobody_answers_without_yes(desk, answering):
    table = desk(accounts(1, 3))
    refuse(table, MOVE[:-1], REFUSED, "sv2 does not answer here")
    refuse(table, ("restore", "sv1"), REFUSED, "sv1 does not answer here")
    answering(table, "sv2")
    assert table.run(*MOVE[:-1]).returncode == 0


def test_no_account_that_matches_is_a_success_that_says_so(desk):
    table = desk(accounts(1, 3))
    for words in (("reassign", "--from", "sv3", "--to", "sv2", "--yes"), ("restore", "sv2", "--yes"),
                  (*MOVE, "--filter", "uid=nobody"), (*MOVE, "--domain", "example.net")):
        done = refuse(table, words, 0)
        assert "nothing to do: no account" in done.stdout
        assert result_of(table.run(*words, "--json"))["found"] == 0
    assert table.journal_files() == []


# -- who may not ----------------------------------------------------------------------------------


def test_an_identity_that_may_only_read_is_named(desk):
    table = desk(accounts(1, 700))
    table.configure(bind_dn=READER)
    refuse(table, MOVE, REFUSED, f"does not let {READER} write hostServer and oldHostServer", "admin.bind_dn")
    journal = Journal(table.journal_files()[0])
    assert {fate for _, _, fate in journal.entries.values()} == {"not done"}
    assert journal.end["end"] == "refused"


def test_an_entry_that_may_not_be_written_is_named_when_others_were(desk):
    table = desk(accounts(1, 1200), access=f'access to dn.exact="uid=user700,{PEOPLE}" attrs=hostServer,oldHostServer\n'
                 "  by * read")
    before = table.hosts()
    done = table.run(*MOVE)
    assert done.returncode == PARTLY, done.stdout + done.stderr
    assert f"uid=user700,{PEOPLE}: Insufficient access" in done.stderr
    assert "1 entries could not be changed" in done.stderr
    journal = Journal(table.journal_files()[0])
    journal.assert_true_of(before, table.hosts())
    assert [uid for uid, (_, _, fate) in journal.entries.items() if fate != "done"] == ["user700"]
    assert journal.entries["user700"][2] == "not done"
    assert table.count("(hostServer=sv2)") == 1199


def test_entries_that_may_not_be_written_do_not_keep_the_others_where_they_are(desk):
    """They come first in the list, as they do whenever a run is repeated."""
    table = desk(accounts(1, 60), access=f'access to dn.regex="^uid=user[1-9],{PEOPLE}$" '
                 "attrs=hostServer,oldHostServer\n  by * read")
    done = table.run(*MOVE, "--limit", "20")
    assert done.returncode == PARTLY, done.stdout + done.stderr
    assert "changed 20 accounts" in done.stdout
    done = table.run(*MOVE)
    assert done.returncode == PARTLY, done.stdout + done.stderr
    assert table.count("(hostServer=sv2)") == 51
    refuse(table, MOVE, REFUSED, f"does not let {WRITER} write hostServer and oldHostServer")


def test_a_wrong_password_is_a_failure(desk):
    table = desk(accounts(1, 3))
    (table.folder / "ldap.secret").write_text("wrong")
    refuse(table, MOVE, FAILED, table.uri, "Invalid credentials")


def test_a_server_that_is_away_is_a_failure_with_its_name(desk):
    table = desk(accounts(1, 3))
    table.stop()
    done = table.run(*MOVE)
    assert done.returncode == FAILED and table.uri in done.stderr
    assert done.stdout == ""


# -- what takes no changes ------------------------------------------------------------------------


def replica(more=""):
    return (f'syncrepl rid=1 provider=ldap://127.0.0.1:1 searchbase="{SUFFIX}" bindmethod=simple '
            f'retry="3600 +"\n{more}')


def test_a_read_only_server_is_refused(desk):
    table = desk(accounts(1, 30), "readonly on")
    refuse(table, MOVE, REFUSED, f"{table.uri} takes no changes: operation restricted", "admin.write_uri")


def test_a_replica_is_refused_with_the_name_of_its_provider(desk):
    table = desk(accounts(1, 30), replica("updateref ldap://provider.example:3890"))
    refuse(table, MOVE, REFUSED, f"{table.uri} is a replica", "expected ldap://provider.example:3890 in admin.write_uri")


def test_a_replica_that_names_no_provider_is_refused(desk):
    table = desk(accounts(1, 30), replica())
    refuse(table, MOVE, REFUSED, "takes no changes: shadow context", "the provider, if this is a replica")


def test_a_real_replica_is_refused_and_follows_what_its_provider_is_told(desk):
    provider = desk(accounts(1, 30), "overlay syncprov", name="provider")
    follower = desk(None, f'syncrepl rid=1 provider={provider.uri} searchbase="{SUFFIX}" bindmethod=simple '
                    f'binddn="cn=root,{SUFFIX}" credentials=secret type=refreshAndPersist retry="1 +"\n'
                    f"updateref {provider.uri}")
    wait_until(lambda: has(follower, 30, "sv1"), "the replica follows", 30, 0.1)
    refuse(follower, MOVE, REFUSED, f"expected {provider.uri} in admin.write_uri")
    follower.configure(uri=provider.uri)
    assert follower.run(*MOVE).returncode == 0
    wait_until(lambda: has(follower, 30, "sv2"), "the replica follows", 30, 0.1)


def has(table, count, host):
    try:
        return table.count(f"(hostServer={host})") == count
    except TroubleError:
        return False  # it has not even the base


# -- referrals ------------------------------------------------------------------------------------


def test_a_part_of_the_directory_that_is_elsewhere_is_named(desk):
    table = desk(accounts(1, 30) + f"dn: ou=far,{PEOPLE}\nobjectClass: referral\nobjectClass: extensibleObject\n"
                 "ou: far\nref: ldap://far.example/ou=far,dc=far\n\n")
    done = table.run(*MOVE)
    assert done.returncode == 0
    assert "ldap://far.example/ou=far,dc=far??sub: a part of the directory that is elsewhere" in done.stderr
    assert table.count("(hostServer=sv2)") == 30


def test_a_base_that_is_elsewhere_or_nowhere_is_refused(desk):
    table = desk(accounts(1, 3), more_global="referral ldap://root.example")
    text = table.configuration.read_text()
    table.configuration.write_text(text.replace(PEOPLE, "dc=example,dc=com"))
    refuse(table, MOVE, FAILED, "does not have directory.base dc=example,dc=com", "ldap://root.example")
    table.configuration.write_text(text.replace(PEOPLE, f"ou=nobody,{SUFFIX}"))
    refuse(table, MOVE, FAILED, f"does not have directory.base ou=nobody,{SUFFIX}, or does not show it to {WRITER}")


# -- limits of the server -------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["size=500 size.prtotal=unlimited", "size.pr=100 size.prtotal=unlimited",
                                   "size=unlimited size.prtotal=disabled"])
def test_pages_work_around_limits(desk, limit):
    table = desk(accounts(1, 1300), f'limits dn.exact="{WRITER}" {limit}')
    done = table.run(*MOVE)
    assert done.returncode == 0, done.stderr
    assert table.count("(&(hostServer=sv2)(oldHostServer=sv1))") == 1300


@pytest.mark.parametrize("limit, count", [("size=500", 500), ("size=500 size.prtotal=600", 600),
                                          ("size=400 size.prtotal=disabled", 400)])
def test_a_limit_below_the_number_of_accounts_is_told_and_can_be_gone_under(desk, limit, count):
    table = desk(accounts(1, 1300), f'limits dn.exact="{WRITER}" {limit}')
    refuse(table, MOVE, FAILED, f"shows {WRITER} no more than {count} accounts: Size limit exceeded",
           f"or use --limit {count} again and again")
    assert table.journal_files() == []
    for runs in range(1, 9):
        done = table.run(*MOVE, "--limit", count)
        assert done.returncode == 0, done.stderr
        if "not done yet" not in done.stdout:
            break
    assert runs == -(-1300 // count)
    assert table.count("(&(hostServer=sv2)(oldHostServer=sv1))") == 1300


def test_a_server_that_lists_nothing_for_lack_of_an_index_is_told(desk):
    table = desk(accounts(1, 300), f'limits dn.exact="{WRITER}" size.unchecked=100')
    refuse(table, MOVE, FAILED, "does not list the accounts", "expected indexes of hostServer and oldHostServer")


# -- entries that are not what they should be -----------------------------------------------------


def test_entries_with_two_hosts_are_named_and_left_alone(desk):
    table = desk(accounts(1, 600) + account_ldif(601, "sv1", extra="hostServer: sv3\n")
                 + account_ldif(602, "sv1", "sv2", extra="oldHostServer: sv3\n"))
    done = table.run(*MOVE)
    assert done.returncode == PARTLY
    assert f"uid=user601,{PEOPLE}: its entry names several hosts" in done.stderr
    assert f"uid=user602,{PEOPLE}: its entry names several old hosts" in done.stderr
    assert "left alone, since they are not what they should be: 2" in done.stdout
    hosts = table.hosts()
    assert (sorted(hosts["user601"][0]), hosts["user602"][0]) == (["sv1", "sv3"], ["sv1"])
    assert table.count("(&(hostServer=sv2)(oldHostServer=sv1))") == 600
    lines = [line for line in table.run(*MOVE, "--json").stdout.splitlines() if '"complaint"' in line]
    assert len(lines) == 2


# -- connections that end -------------------------------------------------------------------------


def drop(table, judge):
    """A run through a proxy that `judge` (Proxy) makes fail; then one that finishes."""
    before = table.hosts()
    proxy = Proxy((table.address, table.port), table.network.address(2), judge)
    try:
        table.configure(uri=proxy.uri)
        done = table.run(*MOVE)
        table.configure()
    finally:
        proxy.close()
    assert done.returncode == PARTLY, done.stdout + done.stderr
    assert f"mailstead: {proxy.uri}: " in done.stderr
    assert "run the same command again to do the rest" in done.stderr
    journal = Journal(table.journal_files()[-1])
    journal.assert_true_of(before, table.settled_hosts())
    assert journal.end["end"] == "interrupted"
    assert "unknown" in {fate for _, _, fate in journal.entries.values()}
    assert len(journal.entries) < 4000
    assert table.run(*MOVE).returncode == 0
    assert table.count("(&(hostServer=sv2)(oldHostServer=sv1))") == 4000


def test_a_connection_that_ends_in_a_transaction_leaves_what_the_journal_says(desk):
    drop(desk(accounts(1, 4000)),
         lambda sent: "cut" if BEGIN in sent and len(sent) > sent.index(BEGIN) + 60000 else "pass")


def test_a_connection_that_ends_before_the_commit_leaves_what_the_journal_says(desk):
    drop(desk(accounts(1, 4000)), lambda sent: "cut" if END in sent else "pass")


def test_a_commit_whose_answer_is_lost_leaves_what_the_journal_says(desk):
    drop(desk(accounts(1, 4000)), lambda sent: "mute" if END in sent else "pass")


def test_a_connection_that_ends_at_the_first_change_leaves_what_the_journal_says(desk):
    table = desk(accounts(1, 40))
    proxy = Proxy((table.address, table.port), table.network.address(2),
                  lambda sent: "cut" if b"uid=user" in sent else "pass")
    try:
        table.configure(uri=proxy.uri)
        refuse(table, MOVE, PARTLY, proxy.uri)
    finally:
        proxy.close()
    assert [fate for _, _, fate in Journal(table.journal_files()[0]).entries.values()] == ["unknown"]


# -- the journal's place --------------------------------------------------------------------------


def test_a_folder_that_is_not_ours_alone_is_refused_before_any_change(desk, tmp_path):
    table = desk(accounts(1, 3))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    table.journals.symlink_to(elsewhere)
    refuse(table, MOVE, FAILED, "no journal can be kept in", "Not a directory", "--journal or admin.journal_directory")
    assert list(elsewhere.iterdir()) == []
    table.journals.unlink()
    table.journals.mkdir()
    table.journals.chmod(0o777)
    refuse(table, MOVE, FAILED, "others may write to it")
    refuse(table, (*MOVE, "--journal", tmp_path / "no" / "such"), FAILED, "No such file or directory")
    assert table.run(*MOVE, "--journal", tmp_path / "mine").returncode == 0


def limited(size):
    """For subprocess: no file may grow beyond `size` bytes, as on a disk that is full."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return {"preexec_fn": limit, "restore_signals": False}


def test_a_full_disk_ends_the_run_before_the_next_change(desk):
    table = desk(accounts(1, 3000))
    before = table.hosts()
    done = table.run(*MOVE, **limited(100))
    assert (done.returncode, table.hosts()) == (FAILED, before)
    assert "cannot be written: File too large" in done.stderr
    done = table.run(*MOVE, **limited(200000))
    assert done.returncode == PARTLY, done.stdout + done.stderr
    assert "cannot be written: File too large" in done.stderr
    after = table.hosts()
    moved = sum(hosts == (["sv2"], ["sv1"]) for hosts in after.values())
    assert 0 < moved < 3000
    journal = Journal(table.journal_files()[-1])
    journal.assert_true_of(before, after)
    assert table.run(*MOVE).returncode == 0
    assert table.count("(&(hostServer=sv2)(oldHostServer=sv1))") == 3000
