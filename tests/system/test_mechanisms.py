# SPDX-License-Identifier: Apache-2.0
"""Each SASL mechanism that the frontends offer, at real stores: with an initial response or
without, with a wrong password, and cancelled; and what the frontends announce before a login."""
import base64
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cluster import Network, wait_until
from raw import Raw


def encode(text):
    return base64.b64encode(text.encode())


class Imap:
    port = Network.IMAP
    challenge, accepted, refused, malformed = b"+ ", b"a OK", b"a NO [AUTHENTICATIONFAILED]", b"a BAD"

    @staticmethod
    def command(mechanism, response):
        return b"a AUTHENTICATE " + mechanism.encode() + (b" " + response if response else b"")

    @staticmethod
    def answer(raw):
        line = raw.line()
        while line.startswith(b"* "):
            line = raw.line()
        return line


class Pop3(Imap):
    port = Network.POP3
    accepted, refused, malformed = b"+OK", b"-ERR [AUTH]", b"-ERR"

    @staticmethod
    def command(mechanism, response):
        return b"AUTH " + mechanism.encode() + (b" " + response if response else b"")


def responses(mechanism, name, password):
    """The responses of a mechanism, one a step."""
    if mechanism == "PLAIN":
        return [encode(f"\0{name}\0{password}")]
    return [encode(name), encode(password)]


def converse(raw, protocol, mechanism, said, initial):
    """The answer to the last of what is said."""
    said = list(said)
    raw.send(protocol.command(mechanism, said.pop(0) if initial else None) + b"\r\n")
    answer = protocol.answer(raw)
    while said:
        assert answer.startswith(protocol.challenge), answer
        raw.send(said.pop(0) + b"\r\n")
        answer = protocol.answer(raw)
    return answer


@pytest.mark.parametrize("initial", [True, False], ids=["initial", "asked"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("protocol", [Imap, Pop3])
def test_a_mechanism_logs_in_is_refused_and_can_be_cancelled(fe1, fresh, protocol, mechanism,
                                                             initial):
    account = fresh("sv1")
    right = responses(mechanism, account.address, account.password)
    with Raw(fe1.address, protocol.port) as raw:
        raw.line()
        cancelled = right[:1] + [b"*"] if initial and mechanism == "LOGIN" else [b"*"]
        answer = converse(raw, protocol, mechanism, cancelled, initial and mechanism == "LOGIN")
        assert answer.startswith(protocol.malformed), answer
        wrong = responses(mechanism, account.address, "wrong")
        assert converse(raw, protocol, mechanism, wrong, initial).startswith(protocol.refused)
        assert converse(raw, protocol, mechanism, right, initial).startswith(protocol.accepted)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("octet", ["\r", "\n", "\0", "\r\nz DELETE INBOX\r\n"],
                         ids=["cr", "lf", "nul", "command"])
@pytest.mark.parametrize("protocol", [Imap, Pop3])
def test_what_could_be_a_command_is_no_credential(fe1, fresh, protocol, mechanism, octet):
    account = fresh("sv1")
    with Raw(fe1.address, protocol.port) as raw:
        raw.line()
        for name, password in ((account.address + octet, account.password),
                               (account.address, account.password + octet)):
            said = responses(mechanism, name, password)
            if mechanism == "LOGIN" and name != account.address:
                said = said[:1]
            answer = converse(raw, protocol, mechanism, said, True)
            assert answer.startswith(protocol.malformed), answer
        said = responses(mechanism, account.address, account.password)
        assert converse(raw, protocol, mechanism, said, True).startswith(protocol.accepted)


def test_what_all_stores_offer_is_announced_before_the_login(cluster, fe1):
    def words(server, port):
        with Raw(server.address, port) as raw:
            raw.line()
            return set(raw.ask_tagged(b"a", b"CAPABILITY")[0].decode().split()[2:])

    mine = {"STARTTLS", "LOGINDISABLED", "SASL-IR", "ID", "LOGIN-REFERRALS"}
    stores = [words(backend, Network.STORE_IMAP) for backend in cluster.backends.values()]
    common = {word for word in set.intersection(*stores)
              if word not in mine and not word.startswith("AUTH=")}
    assert common > {"IMAP4rev1"}
    wait_until(lambda: words(fe1, Network.IMAP) - mine - {"AUTH=PLAIN", "AUTH=LOGIN"} == common,
               "the frontend announces what all stores have")


# -- a wrong password, and nobody's name ---------------------------------------------
def by_imap_login(raw, name):
    return raw.ask(f"a LOGIN {name} wrong".encode())


def by_pop3_user(raw, name):
    return raw.ask(f"USER {name}".encode()) + raw.ask(b"PASS wrong")


def by_sieve(raw, name):
    return raw.ask(b'AUTHENTICATE "PLAIN" "' + encode(f"\0{name}\0wrong") + b'"')


def by_submission(raw, name):
    return raw.ask_smtp(b"AUTH PLAIN " + encode(f"\0{name}\0wrong"))


def by(protocol, mechanism):
    return lambda raw, name: converse(raw, protocol, mechanism, responses(mechanism, name, "wrong"), False)


WAYS = [(Network.IMAP, by_imap_login), (Network.IMAP, by(Imap, "PLAIN")), (Network.IMAP, by(Imap, "LOGIN")),
        (Network.POP3, by_pop3_user), (Network.POP3, by(Pop3, "PLAIN")), (Network.POP3, by(Pop3, "LOGIN")),
        (Network.SIEVE, by_sieve), (Network.SUBMISSION, by_submission)]
AS_ONE_S = 0.5  # of about three seconds; a store's own answer comes in milliseconds


def refused(server, tls, port, way, name):
    """(what it says, after how many seconds)."""
    with Raw(server.address, port) as raw:
        raw.until(b"OK") if port == Network.SIEVE else raw.reply()
        if port == Network.SUBMISSION:
            raw.ask_smtp(b"EHLO client.example.com")
            raw.ask_smtp(b"STARTTLS")
            raw.socket = tls.wrap_socket(raw.socket, server_hostname=server.address)
            raw.ask_smtp(b"EHLO client.example.com")
        began = time.monotonic()
        return way(raw, name), time.monotonic() - began


def test_a_wrong_password_is_refused_as_nobody_s_name_is(fe1, fresh, tls):
    accounts = fresh("sv1", len(WAYS))
    tries = [(port, way, name) for number, (port, way) in enumerate(WAYS)
             for name in (accounts[number].address, f"nobody-{number}@example.org")]
    with ThreadPoolExecutor(len(tries)) as pool:
        answers = list(pool.map(lambda one: refused(fe1, tls, *one), tries))
    for (wrong, wrong_s), (nobody, nobody_s) in zip(answers[::2], answers[1::2]):
        assert wrong == nobody and wrong, (wrong, nobody)
        assert not any(word in wrong for word in (b"UNAVAILABLE", b"TEMP", b"TRYLATER", b"454")), wrong
        assert abs(wrong_s - nobody_s) < AS_ONE_S, (wrong, wrong_s, nobody_s)
