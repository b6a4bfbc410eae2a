# SPDX-License-Identifier: Apache-2.0
"""Every outcome of a lookup, and its answer in every protocol that a frontend speaks."""
import itertools

import pytest

from cluster import Network, wait_until
from conftest import wait_for_slapd
from raw import Raw

ALIAS = "alias.example"
# What each protocol says of a recipient or a login.
SERVED = {"smtp": b"250 ", "lmtp": b"250 ", "imap": b"a OK ", "pop3": b"+OK"}
QUEUED = {"smtp": b"250 ", "lmtp": b"250 ", "imap": b"a NO [UNAVAILABLE]", "pop3": b"-ERR [SYS/TEMP]"}
TEMPORARY = {"smtp": b"451 4.3.0", "lmtp": b"451 4.3.0", "imap": b"a NO [UNAVAILABLE]", "pop3": b"-ERR [SYS/TEMP]"}
UNKNOWN = {"smtp": b"550 5.1.1", "lmtp": b"550 5.1.1", "imap": b"a NO [AUTHENTICATIONFAILED]", "pop3": b"-ERR [AUTH]"}
FOREIGN = {**UNKNOWN, "smtp": b"550 5.7.1", "lmtp": b"550 5.7.1"}


@pytest.fixture(scope="module")
def frontend(cluster):
    """fe2 with LMTP too, a domain that is an alias, few live searches, and no delay for wrong logins."""
    fe2 = cluster.frontends["fe2"]
    fe2.stop()
    good = fe2.configuration.read_text()
    fe2.configuration.write_text(
        good.replace("cluster {\n", f'cluster {{\n    domain_alias "{ALIAS}" {{ of = "example.org" }}\n')
        .replace("directory {\n", "directory {\n    confirm_rate = 5\n")
        + 'limits {\n    trusted_networks = { "127.0.0.1" }\n}\n'
        + fe2.listener("lmtp", "lmtp", Network.LMTP, "starttls"))
    fe2.start()
    yield fe2
    fe2.stop()
    fe2.configuration.write_text(good)
    fe2.start()


def rcpt(frontend, port, hello, address):
    with Raw(frontend.address, port) as raw:
        raw.reply()
        raw.ask_smtp(hello + b" client.example.com")
        raw.ask_smtp(b"MAIL FROM:<stranger@example.com>")
        return raw.ask_smtp(b"RCPT TO:<%s>" % address.encode())


def imap(frontend, name, password):
    with Raw(frontend.address, Network.IMAP) as raw:
        raw.line()
        return raw.ask(f'a LOGIN {quoted(name)} "{password}"'.encode())


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def pop3(frontend, name, password):
    with Raw(frontend.address, Network.POP3) as raw:
        raw.line()
        raw.ask(f"USER {name}".encode())
        return raw.ask(f"PASS {password}".encode())


def answers(frontend, address, password="secret", login=None):
    """What each protocol says; the login is by `login`, or the address."""
    return {"smtp": rcpt(frontend, Network.SMTP, b"EHLO", address),
            "lmtp": rcpt(frontend, Network.LMTP, b"LHLO", address),
            "imap": imap(frontend, login or address, password),
            "pop3": pop3(frontend, login or address, password)}


def assert_answers(given, expected):
    assert {protocol: answer[:len(expected[protocol])] for protocol, answer in given.items()} == expected, given


def outcome(frontend, address):
    return next(line for line in frontend.admin().json("lookup", address) if "outcome" in line)


def change(cluster, account, ldif):
    cluster.slapd.modify(f"dn: {account.dn}\nchangetype: modify\n{ldif}")


def assert_alarm(frontend, name, why):
    alarms = [line for line in frontend.log().splitlines()
              if "event=account_misconfigured" in line and f"name={name} " in line and why in line]
    assert 1 <= len(alarms) <= frontend.cluster.workers, alarms
    assert " error " in alarms[0]


def test_known_and_its_backend_up_is_served_by_each_of_its_names(frontend, fresh):
    account = fresh("sv1")
    for address, login in ((account.address, account.uid), (account.address.upper(), account.address.upper()),
                           (account.alias, account.alias), (f"{account.uid}+detail@example.org", None),
                           (f"{account.uid}@{ALIAS}", None), (f"{account.uid}+detail@{ALIAS.upper()}", None),
                           (f'"{account.uid}"@example.org', account.address + ".")):
        assert_answers(answers(frontend, address, account.password, login), SERVED)


def test_known_and_its_backend_down_is_queued_and_its_logins_are_held_and_refused_temporarily(
        frontend, fresh, down):
    account = fresh("sv2")
    down("sv2")
    assert_answers(answers(frontend, account.address, account.password), QUEUED)


@pytest.mark.parametrize("ldif, why", [
    ("delete: hostServer\n", "names no host"),
    ("add: hostServer\nhostServer: sv2\n", "names several hosts"),
    ("replace: hostServer\nhostServer: no-such-backend\n", "hostServer names no known backend")])
def test_without_one_known_backend_it_is_refused_temporarily_with_an_alarm(cluster, frontend, fresh, ldif, why):
    account = fresh("sv1")
    before = outcome(frontend, account.address)["revision"]
    change(cluster, account, ldif)
    try:
        wait_until(lambda: outcome(frontend, account.address)["revision"] > before, "it is followed", 10)
        for _ in range(3):
            assert_answers(answers(frontend, account.address, account.password), TEMPORARY)
        assert_alarm(frontend, account.address, why)
    finally:
        cluster.slapd.set_host(account, "sv1")


def test_an_address_on_two_entries_is_refused_temporarily_with_an_alarm(cluster, frontend, fresh):
    first, second = fresh("sv1"), fresh("sv2")
    change(cluster, second, f"add: mail\nmail: {first.address}\n")
    try:
        wait_until(lambda: outcome(frontend, first.address)["outcome"] == "misconfigured", "it is followed", 10)
        assert_answers(answers(frontend, first.address, first.password), TEMPORARY)
        assert_alarm(frontend, first.address, "several entries have this address")
    finally:
        change(cluster, second, f"delete: mail\nmail: {first.address}\n")


@pytest.mark.parametrize("address", ["nobody-here@example.org", f"nobody-here@{ALIAS}"])
def test_unknown_and_confirmed_is_unknown(frontend, address):
    assert_answers(answers(frontend, address), UNKNOWN)


def test_unknown_without_a_live_search_is_refused_temporarily(cluster, frontend):
    cluster.slapd.stop()
    try:
        assert_answers(answers(frontend, "never-asked-before@example.org"), TEMPORARY)
    finally:
        cluster.slapd.start()
        wait_for_slapd(cluster)
        wait_until(lambda: outcome(frontend, "nobody-here@example.org").get("confirmed") == "absent",
                   "live searches succeed again", 20, 0.5)


def test_a_foreign_domain_is_refused_in_mail_and_unknown_at_logins(frontend):
    assert_answers(answers(frontend, "someone@elsewhere.example"), FOREIGN)


def flood(frontend, name):
    """Asks for so many unknown addresses at once that no live search is left."""
    with Raw(frontend.address, Network.LMTP) as raw:
        raw.reply()
        raw.ask_smtp(b"LHLO client.example.com")
        raw.ask_smtp(b"MAIL FROM:<stranger@example.com>")
        raw.send(b"".join(b"RCPT TO:<%s-%d@example.org>\r\n" % (name.encode(), each) for each in range(9)))
        return {raw.reply()[:9] for _ in range(9)}


def test_unknown_above_the_rate_of_live_searches_is_refused_temporarily(frontend):
    names = (f"flood{number}" for number in itertools.count())

    def is_over_the_rate():
        assert flood(frontend, next(names)) <= {UNKNOWN["lmtp"], TEMPORARY["lmtp"]}
        given = answers(frontend, f"{next(names)}@example.org")
        return all(given[protocol].startswith(start) for protocol, start in TEMPORARY.items())

    wait_until(is_over_the_rate, "all protocols say so", 60, 0)
