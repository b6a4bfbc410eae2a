# SPDX-License-Identifier: Apache-2.0
"""ManageSieve through frontend and gate to a real Pigeonhole."""
import base64
import re
import shutil
import subprocess

import pytest

from cluster import Network, wait_until
from raw import Raw


def plain(account, password=None):
    text = f"\0{account.address}\0{password or account.password}"
    return b'"%s"' % base64.b64encode(text.encode())


def capabilities(raw):
    """The lines up to the OK, as {name: value}."""
    found = {}
    while not (line := raw.line()).startswith(b"OK"):
        assert line.startswith(b'"'), line
        name, _, value = line[1:].partition(b'"')
        found[name] = value.strip(b' "')
    return found


class Sieve(Raw):
    """A connection to the frontend, greeted."""

    def __init__(self, frontend, **more):
        super().__init__(frontend.address, Network.SIEVE, **more)
        self.capabilities = capabilities(self)

    def secure(self, tls):
        assert self.ask(b"STARTTLS").startswith(b"OK")
        self.socket = tls.wrap_socket(self.socket, server_hostname=self.socket.getpeername()[0])
        self.capabilities = capabilities(self)

    def log_in(self, account, password=None):
        return self.ask(b'AUTHENTICATE "PLAIN" ' + plain(account, password))


def extensions_of(backend):
    with Raw(backend.address, Network.STORE_SIEVE) as raw:
        return set(capabilities(raw)[b"SIEVE"].split())


def notify_of(backend):
    with Raw(backend.address, Network.STORE_SIEVE) as raw:
        return capabilities(raw)[b"NOTIFY"]


def test_what_all_backends_have_is_told_before_a_login(cluster, fe1, tls):
    stores = set.intersection(*[extensions_of(backend) for backend in cluster.backends.values()])

    def told():
        with Sieve(fe1) as sieve:
            return set(sieve.capabilities[b"SIEVE"].split()) and sieve.capabilities

    told = wait_until(told, "the frontend has learned it", 20)
    assert {b"fileinto", b"vacation"} <= set(told[b"SIEVE"].split()) <= stores
    assert told[b"NOTIFY"] == notify_of(cluster.backends["sv1"])
    assert b"STARTTLS" in told and told[b"VERSION"] == b"1.0" and b"XCLIENT" not in told
    with Sieve(fe1) as sieve:
        sieve.secure(tls)
        assert b"STARTTLS" not in sieve.capabilities and b"PLAIN" in sieve.capabilities[b"SASL"]


@pytest.mark.parametrize("host", ["sv1", "sv2"])
def test_scripts_reach_the_owner(cluster, fe1, tls, fresh, host):
    account = fresh(host)
    script = b'require "fileinto";\r\nkeep;\r\n'
    with Sieve(fe1, source=cluster.network.address(35)) as sieve:
        sieve.secure(tls)
        assert sieve.log_in(account).startswith(b"OK")
        assert sieve.ask(b'PUTSCRIPT "mine" {%d+}\r\n%s' % (len(script), script)).startswith(b"OK")
        assert sieve.ask(b'SETACTIVE "mine"').startswith(b"OK")
        assert sieve.ask(b"LISTSCRIPTS") == b'"mine" ACTIVE' and sieve.line().startswith(b"OK")
        assert sieve.ask(b"LOGOUT").startswith(b"OK")
    store = cluster.backends[host].dovecot
    assert (store.storage(account.address) / "sieve" / "mine.sieve").read_bytes() == script
    wait_until(lambda: re.search(rf"managesieve-login: Info: Login: user=<{re.escape(account.address)}>.*"
                                 rf"rip={re.escape(cluster.network.address(35))}", store.process.log_file.read_text()),
               "the store knows the client", 10)


def test_a_wrong_password_and_an_unknown_name_sound_alike(fe1, fresh):
    account = fresh("sv1")
    with Sieve(fe1) as sieve:
        wrong = sieve.log_in(account, "wrong")
        assert wrong.startswith(b"NO")
        unknown = sieve.ask(b'AUTHENTICATE "PLAIN" "%s"' % base64.b64encode(b"\0nobody@example.org\0wrong"))
        assert unknown == wrong
        assert sieve.log_in(account).startswith(b"OK")


def test_a_backend_that_is_down_is_a_temporary_refusal(cluster, fe1, fresh, down):
    account = fresh("sv2")
    down("sv2")
    with Sieve(fe1) as sieve:
        assert sieve.log_in(account).startswith(b"NO (TRYLATER)")


@pytest.mark.skipif(not shutil.which("sieve-connect"), reason="sieve-connect is not installed")
def test_a_real_client(cluster, fe2, fresh, tmp_path):
    account = fresh("sv3")
    script, password = tmp_path / "real.sieve", tmp_path / "password"
    script.write_text("keep;\n")
    password.write_text(account.password)
    done = subprocess.run(["sieve-connect", "--server", fe2.address, "--port", str(Network.SIEVE), "--nosslverify",
                           "--user", account.address, "--passwordfd", "0", "--upload", "--localsieve", str(script),
                           "--remotesieve", "real"], stdin=password.open(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    store = cluster.backends["sv3"].dovecot
    assert (store.storage(account.address) / "sieve" / "real.sieve").read_text() == "keep;\n"
