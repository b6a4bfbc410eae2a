# SPDX-License-Identifier: Apache-2.0
"""The PROXY protocol at logins: from balancers to us, and from us to backends and stores."""
import base64
import re
import shutil
import smtplib
import socket
import struct
import subprocess

import pytest

from cluster import Network, clients, wait_until
from conftest import wait_for_health
from raw import Raw
from reloads import configured

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PROXIED, PROXIED_TLS, PROXIED_SUBMISSION = 11143, 11993, 11587  # listeners for balancers
CLIENT, CLIENT_PORT = "192.0.2.7", 40007


def header_v1():
    return f"PROXY TCP4 {CLIENT} 192.0.2.8 {CLIENT_PORT} 993\r\n".encode()


def header_v2(values=b""):
    addresses = socket.inet_aton(CLIENT) + socket.inet_aton("192.0.2.8") + struct.pack("!HH", CLIENT_PORT, 993)
    return SIGNATURE + b"\x21\x11" + struct.pack("!H", len(addresses + values)) + addresses + values


TLS_VALUE = b"\x20" + struct.pack("!H", 5) + b"\x01\0\0\0\1"


def listeners(frontend, more=""):
    trusted = '    proxy_protocol_from = { "127.0.0.0/8" }\n' + more
    return (frontend.listener("proxied", "imap", PROXIED, "starttls", trusted)
            + frontend.listener("proxied-submission", "submission", PROXIED_SUBMISSION, "starttls", trusted)
            + frontend.listener("proxied-tls", "imap", PROXIED_TLS, "implicit", trusted))


@pytest.fixture(scope="module")
def balanced(fe2):
    """fe2 with listeners for balancers, one of which is believed about TLS."""
    with configured(fe2, lambda text: text + listeners(fe2, "    proxy_protocol_tls = true\n")):
        yield fe2


def log_in(raw, account):
    return raw.ask_tagged(b"a", b"LOGIN %s %s" % (account.address.encode(), account.password.encode()))[-1]


def login_line(frontend, account):
    """The log's line of that login."""
    def find():
        return re.findall(rf"event=login .*account={re.escape(account.address)} .*", frontend.log())
    return wait_until(find, "the login is logged", 10)[-1]


@pytest.mark.parametrize("header", [header_v1(), header_v2()], ids=["v1", "v2"])
def test_the_balancers_client_logs_in(cluster, balanced, tls, fresh, header):
    account = fresh("sv1")
    with socket.create_connection((balanced.address, PROXIED_TLS), 20) as plain:
        plain.sendall(header)
        with tls.wrap_socket(plain, server_hostname=balanced.address) as secured:
            raw = Raw.over(secured)
            assert raw.line().startswith(b"* OK")
            assert log_in(raw, account).startswith(b"a OK")
            line = login_line(balanced, account)
    assert f"peer={CLIENT}" in line
    store = cluster.backends["sv1"].dovecot.process.log_file
    wait_until(lambda: re.search(rf"Login: user=<{re.escape(account.address)}>.*rip={CLIENT}", store.read_text()),
               "the store knows the client", 10)


def test_tls_at_the_balancer_counts_where_it_is_believed(balanced, fresh):
    with Raw(balanced.address, PROXIED) as raw:
        raw.send(header_v2(TLS_VALUE))
        greeting = raw.line()
        assert b"STARTTLS" not in greeting and b"LOGINDISABLED" not in greeting
        account = fresh("sv1")
        assert log_in(raw, account).startswith(b"a OK")
        assert [who["tls"] for who in balanced.admin().json("who", "--account", account.address)] == ["balancer"]
        assert raw.ask_tagged(b"b", b"NOOP")[-1].startswith(b"b OK")
    with Raw(balanced.address, PROXIED) as raw:
        raw.send(header_v2())
        greeting = raw.line()
        assert b"STARTTLS" in greeting and b"LOGINDISABLED" in greeting


def test_a_user_submits_inside_the_balancers_tls(balanced, fresh):
    account = fresh("sv1")
    login = b"AUTH PLAIN " + base64.b64encode(f"\0{account.address}\0{account.password}".encode())
    for values, code in ((TLS_VALUE, b"235"), (b"", b"538")):
        with Raw(balanced.address, PROXIED_SUBMISSION) as raw:
            raw.send(header_v2(values))
            raw.reply()
            offers = raw.ask_smtp(b"EHLO laptop.example.com")
            assert (b"STARTTLS" not in offers) == (b"AUTH PLAIN" in offers) == (code == b"235")
            assert raw.ask_smtp(login).startswith(code)
            balanced.admin().json("who", "--account", account.address)
            assert raw.ask_smtp(b"NOOP").startswith(b"250")
    assert "tls=balancer" in login_line(balanced, account)


def test_tls_at_the_balancer_is_nothing_where_it_is_not_believed(fe1, fresh):
    with configured(fe1, lambda text: text + listeners(fe1)):
        with Raw(fe1.address, PROXIED) as raw:
            raw.send(header_v2(TLS_VALUE))
            greeting = raw.line()
            assert b"STARTTLS" in greeting and b"LOGINDISABLED" in greeting
            assert b"PRIVACYREQUIRED" in log_in(raw, fresh("sv1"))


@pytest.mark.parametrize("sent", [b"a NOOP\r\n", b"PROXY TCP4 x y 1 2\r\n", SIGNATURE + b"\x31\x11\0\x0c" + bytes(12),
                                  header_v2(b"\x20\0\x09abc")])
def test_without_a_good_header_nobody_is_greeted(balanced, sent):
    with Raw(balanced.address, PROXIED) as raw:
        raw.send(sent + b"a NOOP\r\n" * 4)
        assert raw.line() == b""


def test_a_header_in_pieces_is_a_header(balanced, fresh):
    with Raw(balanced.address, PROXIED) as raw:
        for octet in header_v2(TLS_VALUE):
            raw.send(bytes([octet]))
        assert raw.line().startswith(b"* OK")


def test_who_is_no_balancer_is_not_asked(fe1):
    with Raw(fe1.address, Network.IMAP) as raw:
        raw.send(header_v1())
        assert raw.line().startswith(b"* OK") and b"BAD" in raw.line()


HAPROXY = """\
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
listen v1
    bind {address}:11001
    server s {server}:{tls_port} send-proxy
listen v2
    bind {address}:11002
    server s {server}:{tls_port} send-proxy-v2
listen ends_tls
    bind {address}:11003 ssl crt {pem}
    server s {server}:{port} send-proxy-v2-ssl
"""


@pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy is not installed")
@pytest.mark.parametrize("port", [11001, 11002, 11003])
def test_a_real_balancer_in_front(cluster, balanced, tls, fresh, tmp_path, port):
    address = cluster.network.address(31)
    pem, file = tmp_path / "both.pem", tmp_path / "haproxy.cfg"
    pem.write_text(cluster.certificates.certificate("fe2").read_text() + cluster.certificates.key("fe2").read_text())
    file.write_text(HAPROXY.format(address=address, server=balanced.address, port=PROXIED, tls_port=PROXIED_TLS,
                                   pem=pem))
    account = fresh("sv2")
    haproxy = subprocess.Popen(["haproxy", "-f", str(file), "-db"], stderr=subprocess.DEVNULL)
    try:
        def connect():
            try:
                return socket.create_connection((address, port), 5, source_address=(cluster.network.address(32), 0))
            except OSError:
                return None
        plain = wait_until(connect, "haproxy listens", 20)
        name = cluster.frontends["fe2"].address
        with tls.wrap_socket(plain, server_hostname=name) as secured:
            raw = Raw.over(secured)
            assert raw.line().startswith(b"* OK")
            assert log_in(raw, account).startswith(b"a OK")
        assert f"peer={cluster.network.address(32)}" in login_line(balanced, account)
    finally:
        haproxy.kill()
        haproxy.wait()


def test_a_store_that_knows_only_the_header_learns_the_client(cluster, fe1, fresh):
    """The gate sends it to its Dovecot."""
    account, gate = fresh("sv3"), cluster.backends["sv3"].daemon
    store = cluster.backends["sv3"].dovecot.process.log_file

    def edit(text):
        return (text.replace(f":{Network.STORE_IMAP}\"", f":{Network.STORE_IMAP_PROXIED}\"")
                .replace("node {", "node {\n    pass_client = \"proxy\"", 1))

    with configured(gate, edit):
        raw = Raw(fe1.address, Network.IMAP, source=cluster.network.address(33))
        raw.line()
        assert log_in(raw, account).startswith(b"a OK")
        assert raw.ask(b"b NOOP").startswith(b"b OK")
        raw.close()
        wait_until(lambda: re.search(rf"Login: user=<{re.escape(account.address)}>.*"
                                     rf"rip={re.escape(cluster.network.address(33))}", store.read_text()),
                   "the store knows the client", 10)
        done = gate.admin().run("check")
        said = done.stdout + done.stderr
        assert "node.imap_store" not in said
        assert "node.pop3_store: it does not wait for the PROXY header" in said


def test_a_gate_takes_the_header_from_frontends(cluster, fe2, fresh, tls):
    """Whose login it is arrives there, to read mail or to send it; probes are no logins."""
    account, gate = fresh("sv3"), cluster.backends["sv3"].daemon

    def gate_text(text):
        return text + gate.listener("proxied", "imap", PROXIED, "starttls",
                                    '    proxy_protocol_from = { "127.0.0.0/8" }\n')

    def frontend_text(text):
        return re.sub(r'(backend "sv3" \{.*)imap_port = \d+', rf"\1imap_port = {PROXIED}",
                      text.replace("cluster {", 'cluster {\n    pass_client = "proxy"', 1))

    with configured(gate, gate_text):
        with configured(fe2, frontend_text):
            wait_until(lambda: clients.refusal(fe2, account) == "", "the gate is up for fe2", 20)
            raw = Raw(fe2.address, Network.IMAP, source=cluster.network.address(34))
            raw.line()
            assert log_in(raw, account).startswith(b"a OK")
            raw.close()
            wait_until(lambda: re.search(rf"event=login .*peer={re.escape(cluster.network.address(34))} ", gate.log()),
                       "the gate knows the client", 10)
            assert f"peer={cluster.network.address(34)}" in login_line(fe2, account)
            with smtplib.SMTP(fe2.address, Network.SUBMISSION, timeout=20,
                              source_address=(cluster.network.address(35), 0)) as smtp:
                smtp.starttls(context=tls)
                assert smtp.login(account.address, account.password)[0] == 235
            wait_until(lambda: re.search(rf"event=login .*peer={re.escape(cluster.network.address(35))} ", gate.log()),
                       "the gate knows who sends", 10)
    for host in cluster.backends:
        wait_for_health(cluster, host)
