# SPDX-License-Identifier: Apache-2.0
"""slapd stops, comes back, and changes: what mail and logins see of it."""
import time

from cluster import Network, clients, wait_until
from conftest import wait_for_slapd
from raw import Raw


def is_answered(frontend, address, start):
    """True when RCPT TO this address is answered with `start`."""
    return clients.smtp_answer(frontend, address).startswith(start)


def test_without_slapd_mail_goes_on_and_unknown_addresses_are_refused_temporarily(frontend, fresh, no_slapd):
    account = fresh("sv1")
    assert is_answered(frontend, account.address, b"250 ")
    assert is_answered(frontend, "never-seen@example.org", b"451 4.3.0 ")
    assert is_answered(frontend, "someone@elsewhere.example", b"550 5.7.1 ")
    assert is_answered(frontend, f"{account.uid}+detail@example.org", b"250 ")


def test_without_slapd_logins_and_mail_go_on(frontend, fresh, arrives, no_slapd):
    for host in ("sv1", "sv2", "sv3"):
        account = fresh(host)
        message = clients.make_message("while slapd was away", [account.address])
        assert clients.send(frontend, [account.address], message) == {}
        arrives(account, "while slapd was away", frontend)
    with Raw(frontend.address, Network.IMAP) as raw:
        raw.line()
        assert raw.ask(b"a LOGIN never-seen@example.org secret").startswith(b"a NO [UNAVAILABLE]")


def test_a_frontend_that_starts_without_slapd_serves_from_its_mirror(cluster, fe2, fresh):
    account = fresh("sv1")
    assert fe2.stop()
    cluster.slapd.stop()
    try:
        fe2.start()
        assert fe2.serves(account)
        assert is_answered(fe2, account.address, b"250 ")
        assert is_answered(fe2, "never-seen@example.org", b"451 4.3.0 ")
    finally:
        cluster.slapd.start()
        wait_for_slapd(cluster)


def test_after_slapd_came_back_unknown_is_unknown_again_and_changes_are_followed(cluster, frontend, fresh):
    account = fresh("sv1")
    cluster.slapd.stop()
    cluster.slapd.start()
    wait_for_slapd(cluster)
    assert is_answered(frontend, "never-seen@example.org", b"550 5.1.1 ")
    cluster.slapd.set_host(account, "sv3", "sv1")
    wait_until(lambda: frontend.admin().owner(account) == "sv3", "the change is followed", 30, 0.1)
    cluster.slapd.set_host(account, "sv1")


def test_a_new_account_receives_mail_within_a_second(cluster, frontend):
    name = f"new-at-{frontend.name}"
    assert is_answered(frontend, f"{name}@example.org", b"550 5.1.1 ")
    cluster.slapd.add(f"""\
dn: uid={name},ou=people,dc=example,dc=org
objectClass: inetOrgPerson
objectClass: mailsteadAccount
uid: {name}
cn: {name}
sn: {name}
mail: {name}@example.org
hostServer: sv2
""")
    began = time.monotonic()
    wait_until(lambda: is_answered(frontend, f"{name}@example.org", b"250 "), "the account is known", 10, 0.02)
    assert time.monotonic() - began < 1
    cluster.slapd.delete(f"uid={name},ou=people,dc=example,dc=org")
    wait_until(lambda: is_answered(frontend, f"{name}@example.org", b"550 "), "the account is gone", 10, 0.02)


def test_an_account_without_a_known_backend_is_refused_temporarily(cluster, fe1, fresh):
    account = fresh("sv1")
    try:
        cluster.slapd.set_host(account, "no-such-backend")
        wait_until(lambda: is_answered(fe1, account.address, b"451 "), "451 for an unknown backend", 10)
        assert "[UNAVAILABLE]" in clients.refusal(fe1, account)
        cluster.slapd.modify(f"dn: {account.dn}\nchangetype: modify\ndelete: hostServer\n")
        wait_until(lambda: owner_is_absent(fe1, account), "the mirror knows", 10)
        assert is_answered(fe1, account.address, b"451 ")
        assert "[UNAVAILABLE]" in clients.refusal(fe1, account)
    finally:
        cluster.slapd.set_host(account, "sv1")


def owner_is_absent(frontend, account):
    return not any(line.get("host") for line in frontend.admin().json("lookup", account.address))


def test_an_address_on_two_entries_is_refused_temporarily(cluster, fe1, fresh):
    first, second = fresh("sv1"), fresh("sv2")
    cluster.slapd.modify(f"dn: {second.dn}\nchangetype: modify\nadd: mail\nmail: {first.address}\n")
    try:
        wait_until(lambda: is_answered(fe1, first.address, b"451 "), "451 for an ambiguous address", 10)
        assert "[UNAVAILABLE]" in clients.refusal(fe1, first)
    finally:
        cluster.slapd.modify(f"dn: {second.dn}\nchangetype: modify\ndelete: mail\nmail: {first.address}\n")
    wait_until(lambda: is_answered(fe1, first.address, b"250 "), "it is one account's again", 10)


def test_an_account_with_two_owners_is_refused_temporarily(cluster, fe1, fresh):
    account = fresh("sv1")
    cluster.slapd.modify(f"dn: {account.dn}\nchangetype: modify\nadd: hostServer\nhostServer: sv2\n")
    try:
        wait_until(lambda: is_answered(fe1, account.address, b"451 "), "451 for two owners", 10)
        assert "[UNAVAILABLE]" in clients.refusal(fe1, account)
    finally:
        cluster.slapd.set_host(account, "sv1")
    wait_until(lambda: is_answered(fe1, account.address, b"250 "), "it has one owner again", 10)
