# SPDX-License-Identifier: Apache-2.0
"""The gate in front of a store: whose accounts it serves, what becomes of others', who may speak to it."""
import itertools
import os
import signal
import smtplib
import subprocess

import pytest

from cluster import Network, clients, wait_until
from raw import Raw
from reloads import configured
from scripted import stuffed
from test_mail import FULL, label
from test_sieve import Sieve


def secured(gate, port, command, tls, tag=b""):
    """A connection to the gate inside TLS, as frontends have one."""
    raw = Raw(gate.address, port)
    raw.line()
    answer = raw.ask(tag + command)
    assert b"OK" in answer, answer
    raw.socket = tls.wrap_socket(raw.socket, server_hostname=gate.address)
    return raw


def imap_answer(gate, account, tls, said=b""):
    """What the gate says to a login; `said` is sent before it."""
    with secured(gate, Network.IMAP, b"STARTTLS", tls, b"s ") as raw:
        raw.send(said)
        return raw.ask_tagged(b"a", b"LOGIN %s %s" % (account.address.encode(), account.password.encode()))[-1]


def logged_in(gate, account, tls):
    raw = secured(gate, Network.IMAP, b"STARTTLS", tls, b"s ")
    answer = raw.ask_tagged(b"a", b"LOGIN %s %s" % (account.address.encode(), account.password.encode()))[-1]
    assert answer.startswith(b"a OK"), answer
    return raw


def pop3_answer(gate, account, tls):
    with secured(gate, Network.POP3, b"STLS", tls) as raw:
        raw.ask(b"USER " + account.address.encode())
        return raw.ask(b"PASS " + account.password.encode())


def sieve_answer(gate, account, tls):
    with Sieve(gate) as raw:
        raw.secure(tls)
        return raw.log_in(account)


def is_followed(gate, account, tls, start):
    wait_until(lambda: imap_answer(gate, account, tls).startswith(start), f"the gate says {start}", 20, 0.05)


ELSEWHERE = b"a NO [UNAVAILABLE ELSEWHERE] "


def test_another_nodes_account_is_refused_in_each_protocol_by_the_code_for_it(cluster, fresh, tls):
    gate, account = cluster.backends["sv1"].daemon, fresh("sv2")
    assert imap_answer(gate, account, tls).startswith(ELSEWHERE)
    assert pop3_answer(gate, account, tls).startswith(b"-ERR [SYS/TEMP/ELSEWHERE] ")
    assert sieve_answer(gate, account, tls).startswith(b"NO (TRYLATER/ELSEWHERE) ")
    assert clients.lmtp_answer(gate, account.address).startswith(b"451 4.1.6 ")


def relaying(cluster):
    more = (f'backend_tls {{\n    transport = "starttls"\n    ca = "{cluster.certificates.ca}"\n}}\n')
    return lambda text: text.replace("node {\n", 'node {\n    foreign = "relay"\n') + more


def send_by_lmtp(gate, account, subject):
    with smtplib.LMTP(gate.address, Network.LMTP, timeout=clients.TIMEOUT) as lmtp:
        lmtp.sendmail(clients.STRANGER, [account.address], clients.make_message(subject, [account.address]))


def test_a_node_that_relays_sends_foreign_sessions_to_their_owner_once(cluster, fresh, tls, arrives):
    gate, owner, account = cluster.backends["sv1"].daemon, cluster.backends["sv2"], fresh("sv2")
    source = f'bind_address = {{ "{gate.address}" }}\n'
    with configured(gate, lambda text: source + relaying(cluster)(text)):
        session = logged_in(gate, account, tls)
        log = owner.dovecot.process.log_file
        wait_until(lambda: f"user=<{account.address}>" in log.read_text(errors="replace"), "its owner logs it in", 10)
        assert pop3_answer(gate, account, tls).startswith(b"+OK")
        assert sieve_answer(gate, account, tls).startswith(b"OK")
        logins = owner.daemon.events("login", account.address)
        assert len(logins) == 3 and all(f" peer={gate.address} " in line for line in logins), logins
        send_by_lmtp(gate, account, "relayed")
        arrives(account, "relayed")
        assert clients.subjects(clients.read_by_imap(cluster.frontends["fe1"], account)) == ["relayed"]
        hop = b'i ID ("x-originating-ip" "192.0.2.1" "x-proxy-ttl" "1")\r\n'
        assert imap_answer(gate, account, tls, hop).startswith(ELSEWHERE)
        cluster.slapd.set_host(account, "sv1", "sv2")
        assert session.rest() == b""  # it has moved, even to this very node
    cluster.slapd.set_host(account, "sv2")


def test_two_nodes_that_disagree_send_nothing_to_and_fro(cluster, fresh, tls):
    first, second, account = cluster.backends["sv1"].daemon, cluster.backends["sv2"].daemon, fresh("sv1")
    with configured(first, relaying(cluster)), configured(second, relaying(cluster)):
        stopped = second.children("directory")
        for child in stopped:
            os.kill(child, signal.SIGSTOP)
        try:
            cluster.slapd.set_host(account, "sv2", "sv1")
            wait_until(lambda: first.admin().owner(account) == "sv2", "the move is followed", 20, 0.05)
            before = second.log().count(f"name={account.address} "), first.log().count("event=login_temporary")
            assert imap_answer(first, account, tls).startswith(ELSEWHERE)
            assert clients.lmtp_answer(first, account.address).startswith(b"451 4.1.6 ")
            assert second.log().count(f"name={account.address} ") == before[0] + 1
            assert first.log().count("event=login_temporary") == before[1] + 1
        finally:
            for child in stopped:
                os.kill(child, signal.SIGCONT)
        is_followed(first, account, tls, b"a OK")
    cluster.slapd.set_host(account, "sv1")


# -- who may speak to it ---------------------------------------------------------
def show(certificate, key):
    return lambda text: text.replace("backend_tls {\n", f'backend_tls {{\n    certificate = "{certificate}"\n'
                                     f'    key = "{key}"\n', 1)


def demanding(cluster, names):
    return lambda text: (text.replace("tls {\n", f'tls {{\n    client_ca = "{cluster.certificates.ca}"\n', 1)
                         .replace("node {\n", f'node {{\n    frontend_names = {{ "{names}" }}\n'))


def forged(cluster):
    """A certificate with fe2's name, by nobody's authority."""
    files = cluster.folder / "forged.pem", cluster.folder / "forged.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", files[1], "-out", files[0], "-days", "2", "-subj", "/CN=fe2.example.org",
                    "-addext", "subjectAltName=DNS:fe2.example.org"], check=True, capture_output=True)
    return files


def is_refused(frontend, gate, account, why):
    size = len(gate.log())
    assert "[UNAVAILABLE]" in clients.refusal(frontend, account)
    lines = [line for line in gate.log()[size:].splitlines() if "event=connection_refused" in line]
    assert lines and all(f'why="{why}' in line for line in lines), lines


def test_one_who_only_looks_whether_a_gate_greets_leaves_no_line_in_its_log(cluster, fresh, tls):
    gate, account = cluster.backends["sv1"].daemon, fresh("sv1")
    size = len(gate.log())
    with Raw(gate.address, Network.IMAP) as raw:
        raw.line()
        assert raw.ask_tagged(b"a", b"LOGOUT")[-1].startswith(b"a OK")
    with smtplib.LMTP(gate.address, Network.LMTP, timeout=clients.TIMEOUT) as lmtp:
        lmtp.ehlo()
    with logged_in(gate, account, tls) as raw:
        raw.ask_tagged(b"b", b"LOGOUT")

    def ends():
        return [line for line in gate.log()[size:].splitlines() if "event=end" in line]

    wait_until(lambda: any(account.address in line for line in ends()), "a session that did something is told", 10)
    assert not [line for line in ends() if "account=" not in line and ("in=0" in line or "messages=0" in line)]



def test_only_who_has_a_frontends_certificate_is_served(cluster, fe1, fe2, fresh, arrives):
    gate, account = cluster.backends["sv3"].daemon, fresh("sv3")
    certificates = cluster.certificates
    with configured(fe1, show(certificates.certificate("fe1"), certificates.key("fe1"))), \
            configured(gate, demanding(cluster, "FE1.example.org")):
        wait_until(lambda: fe1.serves(account), "fe1 is served", 20, 0.1)
        assert clients.send(fe1, [account.address], clients.make_message("by fe1", [account.address])) == {}
        arrives(account, "by fe1", fe1)
        is_refused(fe2, gate, account, "it shows no certificate")
        with smtplib.LMTP(gate.address, Network.LMTP, timeout=clients.TIMEOUT) as lmtp:
            assert lmtp.docmd("LHLO", "x")[0] == 250
            assert lmtp.docmd("MAIL", "FROM:<>")[0] == 454
        with configured(fe2, show(certificates.certificate("fe2"), certificates.key("fe2"))):
            is_refused(fe2, gate, account, "its certificate has another name")
        with configured(fe2, show(*forged(cluster))):
            is_refused(fe2, gate, account, "self")  # -signed, as OpenSSL says it
    wait_until(lambda: fe2.serves(account), "fe2 is served", 20, 0.1)


# -- mail -----------------------------------------------------------------------------
SMALL = b"Subject: small\r\n\r\n.\r\n..\r\n.x \xe4\r\n\r\n"
LARGE = b"Subject: large\r\n\r\n" + b"..x\r\n" * 8000 + b"end\r\n"


def test_a_real_store_has_for_each_recipient_what_the_gate_said_it_has(cluster, fresh):
    """Whole and streamed messages of several clients, one after the other on one connection."""
    gate, accounts = cluster.backends["sv1"].daemon, fresh("sv1", 3)
    label(cluster, accounts[1], FULL)
    with Raw(gate.address, Network.LMTP) as raw:
        raw.reply()
        for number, content in enumerate((SMALL, LARGE, SMALL)):
            raw.send(b"XCLIENT ADDR=192.0.2.1 SESSION=m%d TTL=5\r\nLHLO x\r\nMAIL FROM:<> BODY=8BITMIME\r\n" % number
                     + b"".join(b"RCPT TO:<%s>\r\n" % account.address.encode() for account in accounts))
            assert [raw.reply()[:3] for _ in range(6)] == [b"220"] + [b"250"] * 5
            assert raw.ask_smtp(b"DATA").startswith(b"354")
            raw.send(stuffed(content))
            assert [raw.reply()[:9] for _ in accounts] == [b"250 2.0.0", b"552 5.2.2", b"250 2.0.0"]
    for account, wanted in zip(accounts, ([SMALL, LARGE, SMALL], [], [SMALL, LARGE, SMALL])):
        stored = clients.read_by_imap(cluster.frontends["fe1"], account)
        assert [b"Subject: " + message.partition(b"Subject: ")[2] for message in stored] == wanted


# -- a server that comes back ------------------------------------------------------
ORDERS = list(itertools.permutations(("directory", "dovecot", "gate")))


@pytest.mark.parametrize("order", [ORDERS[-1], *(pytest.param(order, marks=pytest.mark.long) for order in ORDERS[:-1])],
                         ids=" ".join)
def test_a_server_that_comes_back_serves_no_account_that_was_moved_away(cluster, fresh, tls, order):
    backend, account = cluster.backends["sv3"], fresh("sv3")
    starts = {"directory": cluster.slapd.start, "dovecot": backend.dovecot.start, "gate": backend.daemon.start}
    is_followed(backend.daemon, account, tls, b"a OK")
    backend.kill()
    cluster.slapd.set_host(account, "sv1", "sv3")
    cluster.slapd.stop()
    try:
        for part in order:
            starts[part]()
            if backend.daemon.process.is_running():
                assert imap_answer(backend.daemon, account, tls).startswith(b"a NO [UNAVAILABLE")
                assert clients.lmtp_answer(backend.daemon, account.address).startswith(b"451 ")
        is_followed(backend.daemon, account, tls, ELSEWHERE)
        wait_until(lambda: cluster.frontends["fe1"].serves(account), "sv1 serves it", 20, 0.1)
    finally:
        for process in (cluster.slapd.process, backend.dovecot.process, backend.daemon.process):
            if not process.is_running():
                process.start()
        from conftest import wait_for_slapd
        wait_for_slapd(cluster)
        cluster.slapd.set_host(account, "sv3")
