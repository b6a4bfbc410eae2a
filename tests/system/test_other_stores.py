# SPDX-License-Identifier: Apache-2.0
"""A mail store that is no Dovecot behind the gate: plain LMTP, IMAP and POP3, and no more.

It knows no ID, no XCLIENT, no initial response and no fence, and takes whatever comes."""
import re
import ssl

import pytest

from cluster import Network, clients, wait_until
from cluster.mailstead import SANITIZERS
from cluster.process import Process
from scripted import ImapServer, MailServer, Pop3Server
from variant import Variant


class Gate:
    """A second gate for sv1, at an address of its own, with the plain store behind it."""

    def __init__(self, cluster, folder):
        daemon, self.cluster = cluster.backends["sv1"].daemon, cluster
        self.address, store = cluster.network.address(61), cluster.network.address(62)
        self.lmtp = MailServer(store, Network.STORE_LMTP)
        self.imap = ImapServer(store, Network.STORE_IMAP)
        self.pop3 = Pop3Server(store, Network.STORE_POP3)
        self.lmtp.play(extensions=(b"8BITMIME",))
        self.imap.play(greeting=b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] plain")
        self.admin = Variant(daemon, folder)
        text = self.admin.file.read_text().replace(str(daemon.folder), str(folder))
        text = re.sub(rf'(_store = "){re.escape(daemon.address)}:', rf"\g<1>{store}:", text)
        text = re.sub(r"    sieve_store = .*\n", "", text).replace(f'"{daemon.address}:', f'"{self.address}:')
        text = re.sub(r'listen "sieve" \{[^}]*\}', "", text)
        text = text.replace(f'backend "sv1" {{ address = "{daemon.address}"', f'backend "sv1" {{ address = "{self.address}"')
        self.admin.file.write_text(text)
        self.process = Process("gate", folder, [cluster.build / daemon.program, "-c", self.admin.file],
                               is_ready=lambda: " event=ready " in self.process.tail(200), environment=SANITIZERS)

    def start(self):
        for server in (self.lmtp, self.imap, self.pop3):
            server.listen()
        self.process.start()


@pytest.fixture(scope="module")
def gate(cluster, open_folder):
    gate = Gate(cluster, open_folder())
    gate.start()
    yield gate
    gate.process.stop()
    for server in (gate.lmtp, gate.imap, gate.pop3):
        server.refuse_connections()


@pytest.fixture
def tls():
    """Its certificate is that of the node whose copy it is."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_users_log_in_and_mail_comes_in(gate, fresh, tls):
    account = fresh("sv1")
    wait_until(lambda: clients.refusal(gate, account, tls=tls) == "", "the node has synchronised", 20)
    assert (account.address.encode(), account.password.encode()) in [
        credentials for session in gate.imap.sessions() for credentials in session.credentials]
    clients.pop3_login(gate, account, tls=tls).quit()
    assert (account.address.encode(), account.password.encode()) in [
        credentials for session in gate.pop3.sessions() for credentials in session.credentials]
    assert clients.lmtp_answer(gate, account.address).startswith(b"250")


def test_the_gate_alone_is_the_fence(gate, fresh, tls):
    foreign = fresh("sv2")
    assert "[UNAVAILABLE" in clients.refusal(gate, foreign, tls=tls)
    assert clients.lmtp_answer(gate, foreign.address).startswith(b"451")
    assert not gate.lmtp.seen(foreign.address)


def test_check_has_nothing_against_it(gate):
    done = gate.admin.run("check")
    assert done.returncode == 0, done.stderr
    assert "node." not in done.stderr and "dovecot" not in done.stderr
