# SPDX-License-Identifier: Apache-2.0
"""Copies of accounts on a sibling without shared storage: two real Dovecots, each with its own mail."""
import imaplib
import json
import os
import shutil
import signal
import smtplib
import socket
import threading
from contextlib import contextmanager, suppress

import pytest

from cluster import Network, clients, wait_until
from cluster.accounts import Account, account_ldif
from conftest import giver, running
from failover_cluster import OneDirectory, Owners, kill_at, refuses
from variant import Variant

NEVER = Account(9000, "sv1")  # whose entry is new when sv1 is off
OPTIONS = """\
    delay_ms = 100
    background_per_second = 1000
    timeout_s = 2
    retry_min_s = 1
    retry_max_s = 600
    session_s = 1
"""


class Pair(OneDirectory):
    """Its nodes go out from their own addresses."""

    def create(self):
        super().create()
        for backend in self.backends.values():
            backend.daemon.write_configuration(f'bind_address = {{ "{backend.address}" }}\n')


@pytest.fixture(scope="module")
def pair(build, request):
    """Two backends that copy to each other, one frontend."""
    with running(lambda folder: Pair(folder, Network.find(), build, account_count=40, workers=1,
                                      backends=("sv1", "sv2"), frontends=("fe1",), replicas=OPTIONS),
                 request) as cluster:
        for name in cluster.backends:
            wait_until(lambda n=name: status(cluster, n)["accounts"] == 20, f"{name} knows its accounts", 30)
            admin(cluster, name).text("replica", "sync", "--all")
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


def told(pair, name="sv1", other="sv2"):
    """What one backend told the other of its copies there."""
    return admin(pair, other).json("replica", "status", "--server", name)[0]


def told_of(pair, account):
    """What sv1 told sv2 of this copy: its state, None when it is clean."""
    lines = admin(pair, "sv2").json("replica", "status", "--behind", "--server", "sv1")
    return next((line["state"] for line in lines if line.get("account") == account.address), None)


def copied(pair, name, account):
    wait_until(lambda: state_of(pair, name, account) is None, f"{account.address} is clean", 20, 0.05)


def messages_at(pair, name, account):
    """The messages in the mail folder on the storage of `name`, whoever owns the account."""
    folder = pair.backends[name].dovecot.storage(account.address) / "Maildir"
    return sorted(file.name for sub in ("new", "cur") for file in (folder / sub).glob("*"))


def deliver(pair, account, subject):
    clients.send(pair.frontends["fe1"], [account.address], clients.make_message(subject, [account.address]))


def synchronise(pair, name, account):
    """Dovecot's dsync may keep its lock for a moment when the other side has given up: then once more."""
    wait_until(lambda: admin(pair, name).run("replica", "sync", account.address).returncode == 0,
               f"{account.address} is synchronised", 30)


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


def test_check_asks_both_dovecots_whether_they_would_copy(pair, tmp_path):
    node = pair.backends["sv1"]
    changed = Variant(node.daemon, tmp_path)
    right = changed.file.read_text()
    password = tmp_path / "password"
    password.write_text("wrong\n")
    password.chmod(0o600)

    def lines(old, new):
        assert old in right
        changed.file.write_text(right.replace(old, new))
        done = changed.run("check")
        return [line for line in done.stderr.splitlines() if ": replica: " in line or " replica: " in line]

    doveadm = f"{node.address}:{Network.STORE_DOVEADM}"
    siblings = f"{pair.backends['sv2'].address}:"
    assert lines("", "") == []
    secret = f'password_file = "{node.dovecot.doveadm_secret()}"'
    refused = lines(secret, f'password_file = "{password}"')
    assert len(refused) == 2 and all("it refused the password" in line for line in refused), refused
    assert f'doveadm of "sv1", {doveadm}' in refused[0] and f'doveadm of "sv2", {siblings}' in refused[1], refused
    clear = lines("replica {", "replica {\n    tls = false")
    assert len(clear) == 2 and all("it closed the connection; replica.tls is off" in line for line in clear), clear
    stranger = lines(f'    ca = "{pair.certificates.ca}"\n}}\n', '    ca = "/etc/ssl/certs/ca-certificates.crt"\n}\n')
    assert len(stranger) == 2 and all("certificate" in line for line in stranger), stranger
    nobody = lines(f'doveadm = "{doveadm}"', f'doveadm = "{node.address}:1"')
    assert len(nobody) == 1 and "does not answer: Connection refused" in nobody[0], nobody


def inbox(pair, account):
    """{subject: its flags} in the account's INBOX; a message that is there twice fails."""
    imap = clients.imap_login(pair.frontends["fe1"], account)
    imap.select("INBOX", readonly=True)
    found = {}
    for number in imap.search(None, "ALL")[1][0].split():
        (head, body), _ = imap.fetch(number, "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
        subject = body.decode().partition(":")[2].strip()
        assert subject not in found, f"{subject} is there twice"
        found[subject] = {flag.decode() for flag in imaplib.ParseFlags(head)} - {"\\Recent"}
    imap.logout()
    return found


def change(pair, account, flagged=None, deleted=None):
    """The client flags a message, and deletes one."""
    imap = clients.imap_login(pair.frontends["fe1"], account)
    imap.select("INBOX")
    for subject, flag in ((flagged, "\\Flagged"), (deleted, "\\Deleted")):
        if subject:
            number = imap.search(None, "SUBJECT", subject)[1][0]
            assert imap.store(number, "+FLAGS", flag)[0] == "OK"
    imap.expunge()
    imap.logout()


def order(pair, *words, status=0):
    """The lines of JSON that the command prints."""
    done = pair.frontends["fe1"].admin().run(*words, "--json")
    assert done.returncode == status, f"{done.returncode}: {done.stdout}{done.stderr}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def events(lines, name):
    return [line for line in lines if line["event"] == name]


def is_served(pair, account, host):
    wait_until(lambda: pair.slapd.hosts(account.address)[0] == host and pair.frontends["fe1"].serves(account),
               f"{host} serves {account.address}", 30, 0.05)


class Deliveries:
    """One message after the other to these accounts, while this lasts."""

    def __init__(self, pair, accounts):
        self.pair, self.accounts = pair, accounts
        self.accepted = {account.address: set() for account in accounts}
        self.count, self.is_over = 0, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()

    def run(self):
        while not self.is_over.wait(0.05):
            account, subject = self.accounts[self.count % len(self.accounts)], f"number {self.count}"
            with suppress(smtplib.SMTPException):  # refused: it is the sender's to try again
                deliver(self.pair, account, subject)
                self.accepted[account.address].add(subject)
            self.count += 1

    def more(self):
        """Waits until some more were accepted."""
        count = self.count + 2 * len(self.accounts)
        wait_until(lambda: self.count >= count, "deliveries go on", 20)


@contextmanager
def held_up(pair, account):
    """Its copy at sv2 cannot be reached; nothing else is wrong there."""
    folder = pair.backends["sv2"].dovecot.storage(account.address)
    folder.chmod(0)
    yield
    folder.chmod(0o700)


@contextmanager
def lagging(pair, name):
    """Its mirror stands still."""
    (pid,) = pair.backends[name].daemon.children("directory")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def held(pair, name="sv2"):
    """The servers whose accounts this node has let go."""
    return [row["server"] for row in admin(pair, name).json("storage", "status") if row["is_held"]]


def refused_for_now(pair, account):
    """How often the gate of sv2 has refused the account since it had let go."""
    return len(pair.backends["sv2"].daemon.events("login_temporary", account.address, "has let go"))


def test_a_planned_failover_to_copies_and_the_way_back_lose_and_double_nothing(pair, new):
    accounts = new("sv1", 2)
    with Deliveries(pair, accounts) as sent, Owners(pair, accounts[0]) as owners:
        sent.more()
        lines = order(pair, "failover", "sv1", "--planned", "--deadline", "1s")
        (copies,) = events(lines, "copies")
        assert (copies["never"], copies["behind"], copies["is_complete"]) == (0, 0, True)
        assert 0 <= copies["told_age_ms"] < 5000
        assert [line["node"] for line in events(lines, "synchronised")] == ["sv1", "sv1"]
        is_served(pair, accounts[0], "sv2")
        owners.wait_for("sv2")
        sent.more()
        with lagging(pair, "sv2"):  # by what it knows the accounts stay its own
            process = pair.begin("failback", "sv1")
            wait_until(lambda: not refuses(pair, "sv1", accounts[0]), "sv1 serves them", 20, 0.05)
            before = refused_for_now(pair, accounts[0])
            assert refuses(pair, "sv2", accounts[0]) and held(pair) == ["sv1"]
            assert refused_for_now(pair, accounts[0]) > before, "it was the store's Dovecot that refused"
            sent.more()
        lines = [json.loads(line) for line in process.communicate(timeout=30)[0].splitlines()]
        assert process.returncode == 0
        assert [line["node"] for line in events(lines, "synchronised")] == ["sv2", "sv2", "sv2"]
        is_served(pair, accounts[0], "sv1")
        owners.wait_for("sv1")
        sent.more()
    assert owners.seen == [["sv1"], ["sv2"], ["sv1"]]
    wait_until(lambda: held(pair) == [], "sv2 has nothing left to refuse", 20)
    for account in accounts:
        wanted = sent.accepted[account.address]
        wait_until(lambda a=account, w=wanted: set(inbox(pair, a)) == w, f"{account.address} has all of it", 20)


def test_a_killed_backend_s_accounts_go_to_their_copies_and_come_home(pair, new):
    account, late = new("sv1", 2)
    for subject in ("kept", "flagged", "removed", "doomed"):
        deliver(pair, account, subject)
    for subject in ("old", "obsolete"):
        deliver(pair, late, subject)
    change(pair, account, flagged="flagged", deleted="removed")
    synchronise(pair, "sv1", account)
    synchronise(pair, "sv1", late)
    # Known at the sibling, without the source: which copy is behind, and which was never made.
    with held_up(pair, late):
        deliver(pair, late, "not copied")
        change(pair, late, flagged="old", deleted="obsolete")
        wait_until(lambda: told_of(pair, late) in ("dirty", "failing"), "sv2 was told that it is behind", 20, 0.05)
        wait_until(lambda: told_of(pair, account) is None, "sv2 was told that it is clean", 20, 0.05)
        pair.backends["sv1"].kill()
    pair.slapd.add(account_ldif(NEVER))
    wait_until(lambda: told_of(pair, NEVER) == "never", "sv2 knows that it has no copy of a new account", 20, 0.05)
    assert (told(pair)["never"], told(pair)["behind"], told(pair)["is_complete"]) == (1, 1, True)
    deliver(pair, account, "queued")
    # Nothing moves without a word for those two.
    lines = order(pair, "failover", "sv1", "--is-off", "sv1", status=4)
    states = {line["account"]: line["state"] for line in events(lines, "behind")}
    assert states.pop(late.address) in ("dirty", "failing") and states == {NEVER.address: "never"}
    (copies,) = events(lines, "copies")
    assert (copies["never"], copies["behind"]) == (1, 1) and 0 <= copies["told_age_ms"] < 60000
    assert pair.slapd.hosts(account.address) == ("sv1", None)
    lines = order(pair, "failover", "sv1", "--is-off", "sv1", "--accept-behind")
    assert [line["phase"] for line in events(lines, "phase")] == ["look", "let go", "attach", "rewrite", "follow"]
    is_served(pair, account, "sv2")
    wait_until(lambda: inbox(pair, account) == {"kept": set(), "flagged": {"\\Flagged"}, "doomed": set(),
                                               "queued": set()}, "all that was copied is there, and what waited", 20)
    assert set(inbox(pair, late)) == {"old", "obsolete"}
    for one in (account, late):
        deliver(pair, one, "away")
        wait_until(lambda a=one: "away" in inbox(pair, a), "it is delivered", 20)
    change(pair, account, flagged="away", deleted="doomed")
    pair.backends["sv1"].start()
    session = clients.imap_login(pair.frontends["fe1"], account)
    session.select("INBOX")
    session.store(session.search(None, "SUBJECT", "kept")[1][0], "+FLAGS", "\\Answered")
    order(pair, "failback", "sv1")
    is_served(pair, account, "sv1")
    wanted = {"kept": {"\\Answered"}, "flagged": {"\\Flagged"}, "away": {"\\Flagged"}, "queued": set()}
    wait_until(lambda: inbox(pair, account) == wanted, "all of it is at home once", 20)
    wait_until(lambda: inbox(pair, late) == {"old": {"\\Flagged"}, "not copied": set(), "away": set()},
               "what was not copied is there, too", 20)
    # And the copies go on.
    deliver(pair, account, "home")
    wait_until(lambda: "home" in inbox(pair, account), "it is delivered", 20)  # the queue may have it first
    change(pair, account, deleted="queued")
    copied(pair, "sv1", account)
    assert set(inbox(pair, account)) == {"kept", "flagged", "away", "home"}
    assert len(messages_at(pair, "sv2", account)) == 4
    admin(pair, "sv1").text("replica", "sync", "--all")
    assert (told(pair)["never"], told(pair)["behind"], told(pair)["is_complete"]) == (0, 0, True)


def test_a_failback_that_stops_in_the_middle_goes_on_or_is_undone(pair, new):
    account, sv1, sv2 = new("sv1"), pair.backends["sv1"], pair.backends["sv2"]
    deliver(pair, account, "old")
    order(pair, "failover", "sv1", "--planned", "--deadline", "1s")
    is_served(pair, account, "sv2")
    assert kill_at(pair, "release", "failback", "sv1") == -signal.SIGKILL
    assert pair.slapd.hosts(account.address)[0] == "sv2"
    for _ in range(2):
        assert refuses(pair, "sv1", account) and refuses(pair, "sv2", account)
        checked = admin(pair, "sv2").run("status", "--check")
        assert checked.returncode == 1 and "the accounts of sv1 are held" in checked.stdout
        sv2.daemon.stop()
        sv2.daemon.start()
        wait_until(lambda: admin(pair, "sv2").json("node", "status")[0]["state"] == "serving", "sv2 serves others", 20)
    sv1.kill()
    order(pair, "failback", "sv1", status=3)
    order(pair, "failover", "sv1", "--is-off", "sv1")
    is_served(pair, account, "sv2")
    assert held(pair) == []
    deliver(pair, account, "away")
    pair.start_nodes("sv1")
    assert kill_at(pair, "release", "failback", "sv1") == -signal.SIGKILL
    assert refuses(pair, "sv2", account)
    order(pair, "failback", "sv1")
    is_served(pair, account, "sv1")
    wait_until(lambda: set(inbox(pair, account)) == {"old", "away"}, "all of it is at home", 20)


def test_copies_that_have_another_origin_are_told_and_not_tried_again_and_again(pair, new):
    account, other = new("sv1", 2)
    there = pair.backends["sv2"].dovecot.storage(account.address)
    deliver(pair, account, "old")  # of two origins, one that is empty would give way
    wait_until(lambda: len(messages_at(pair, "sv2", account)) == 1, "it is copied", 20)
    pair.backends["sv1"].dovecot.stop()
    move(pair, account, "sv2")
    shutil.rmtree(there)
    assert clients.read_by_imap(pair.frontends["fe1"], account) == []  # sv2 makes an INBOX of its own
    move(pair, account, "sv1")
    pair.backends["sv1"].dovecot.start()
    deliver(pair, account, "here alone")
    wait_until(lambda: len(messages_at(pair, "sv1", account)) == 2, "it is delivered", 20)
    for _ in range(3):
        refused = admin(pair, "sv1").run("replica", "sync", account.address)
        assert refused.returncode == 1
    assert "another origin" in refused.stderr
    line = state_of(pair, "sv1", account)
    assert line["attempts"] >= 3 and "another origin" in line["why"]
    pair.backends["sv1"].daemon.await_event("event=replica_account_stuck account=" + account.address)
    deliver(pair, account, "no reason to hurry")
    deliver(pair, other, "is not held up")
    wait_until(lambda: len(messages_at(pair, "sv2", other)) == 1, "it is copied", 20)
    assert state_of(pair, "sv1", account)["attempts"] == line["attempts"]
    assert len(messages_at(pair, "sv1", account)) == 3 and messages_at(pair, "sv2", account) == []
    done = pair.frontends["fe1"].admin().run("failover", "sv1", "--planned")
    assert done.returncode == 3 and "1 accounts are not clean" in done.stderr
    shutil.rmtree(there)  # as the runbook says
    synchronise(pair, "sv1", account)
    assert len(messages_at(pair, "sv2", account)) == 3


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


@pytest.mark.long
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
    account, sibling, node = new("sv1"), pair.backends["sv2"].dovecot, pair.backends["sv1"]
    sibling.stop()
    with socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        silent.bind((sibling.address, Network.STORE_DOVEADM))
        silent.listen(50)
        silent.settimeout(20)
        deliver(pair, account, "to nobody")
        heard = [silent.accept()]
        while heard[-1][1][0] != node.address:  # Dovecot's own come from wherever the kernel says
            heard.append(silent.accept())
        line = wait_until(lambda: (state_of(pair, "sv1", account) or {}).get("why") and
                          state_of(pair, "sv1", account), "it failed", 30)
        assert "too long" in line["why"]
        for connection, _ in heard:
            connection.close()
    sibling.start()
    admin(pair, "sv1").text("replica", "sync", account.address)
    wait_until(lambda: len(messages_at(pair, "sv2", account)) == 1, "it is copied", 60)
