# SPDX-License-Identifier: Apache-2.0
"""TLS towards mail clients: certificates by name, reloads, tickets."""
import os
import signal
import socket
import ssl
from contextlib import suppress

import pytest

from cluster import Network, clients, wait_until
from reloads import configured, reload

NAMES = {"shop": ["mail.shop.example.com"], "wild": ["*.wild.example.com", "wild.example.com"]}


def certificate_section(cluster, title, name, key=None):
    return (f'certificate "{title}" {{ certificate = "{cluster.certificates.certificate(name)}" '
            f'key = "{cluster.certificates.key(key or name)}" }}\n')


@pytest.fixture(scope="module")
def certificates(cluster):
    for name, hosts in NAMES.items():
        cluster.certificates.issue(name, hosts)
        cluster.certificates.key(name).chmod(0o600)
    return cluster.certificates


def shown(frontend, name, tls):
    """The names of the certificate that who asks for `name` is shown."""
    context = ssl.create_default_context(cafile=str(frontend.cluster.certificates.ca))
    context.check_hostname = False
    with socket.create_connection((frontend.address, Network.IMAPS), 20) as plain:
        with context.wrap_socket(plain, server_hostname=name) as secured:
            return {value for kind, value in secured.getpeercert()["subjectAltName"] if kind == "DNS"}


def test_each_name_has_its_certificate(cluster, fe2, tls, certificates, fresh):
    account = fresh("sv1")
    session = clients.imap_login(fe2, account, implicit=tls)
    with configured(fe2, lambda text: text + certificate_section(cluster, "shop", "shop")
                    + certificate_section(cluster, "wild", "wild")):
        assert shown(fe2, "mail.shop.example.com", tls) == set(NAMES["shop"])
        assert shown(fe2, "any.wild.example.com", tls) == set(NAMES["wild"])
        assert "mail.example.org" in shown(fe2, "unknown.example.com", tls)
        assert "mail.example.org" in shown(fe2, None, tls)
        assert session.noop()[0] == "OK"  # the reload ended nothing
        with pytest.raises(ssl.SSLCertVerificationError):
            with socket.create_connection((fe2.address, Network.IMAPS), 20) as plain:
                tls.wrap_socket(plain, server_hostname="mail.other.example.com")
        rows = fe2.admin().json("status")[0]["certificates"]
        assert [row["name"] for row in rows][1:] == ["mail.shop.example.com", "*.wild.example.com"]
        assert all(20 * 86400 < row["left_s"] < 31 * 86400 and not row["is_ending"] for row in rows)
        session.logout()
    assert "mail.example.org" in shown(fe2, "mail.shop.example.com", tls)


def test_a_bad_certificate_leaves_what_was(cluster, fe2, tls, certificates):
    good = fe2.configuration.read_text()
    before = fe2.children("worker")
    key = certificates.key("wild").read_text()
    try:
        fe2.configuration.write_text(good + certificate_section(cluster, "shop", "shop", key="wild"))
        text = reload(fe2)
        assert 'event=configuration_error' in text and 'certificate \\"shop\\".certificate' in text
        assert "event=reload_refused" in text
        assert key.splitlines()[1] not in text
        assert set(fe2.children("worker")) <= set(before)
        assert "mail.example.org" in shown(fe2, None, tls)
    finally:
        fe2.configuration.write_text(good)


def test_a_certificate_that_ends_is_told(fe2):
    with configured(fe2, lambda text: text.replace("tls {", "tls {\n    expiry_warning_days = 365", 1)):
        wait_until(lambda: "event=certificate_ends" in fe2.log(), "the log warns", 20)
        status = fe2.admin().run("status", "--check")
        assert status.returncode != 0 and "expires in" in status.stdout
    assert "BEGIN" not in fe2.log()


class TicketHolder:
    """A client that keeps the TLS session of one connection and offers it again and again."""

    def __init__(self, frontend, version):
        self.frontend = frontend
        self.context = clients.trusting(frontend.cluster)
        self.context.minimum_version = self.context.maximum_version = version
        self.session = None
        self.connect()

    def connect(self):
        """Whether the session was resumed."""
        with socket.create_connection((self.frontend.address, Network.IMAPS), 20) as plain:
            with self.context.wrap_socket(plain, server_hostname="mail.example.org",
                                          session=self.session) as secured:
                assert secured.recv(100).startswith(b"* OK")  # and before it the ticket
                self.session = self.session or secured.session
                return secured.session_reused


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_ticket_is_good_in_every_worker_and_generation(cluster, fe1, version):
    assert cluster.workers >= 2
    holder = TicketHolder(fe1, version)
    assert [holder.connect() for _ in range(20)] == [True] * 20
    reload(fe1)
    assert [holder.connect() for _ in range(20)] == [True] * 20
    for worker in fe1.children("worker"):
        with suppress(ProcessLookupError):  # the old generation goes by itself
            os.kill(worker, signal.SIGKILL)
    wait_until(lambda: len(fe1.children("worker")) == cluster.workers and fe1.is_ready(), "workers are back", 30)
    assert [holder.connect() for _ in range(20)] == [True] * 20


def test_ticket_keys_are_renewed_for_all(fe2):
    with configured(fe2, lambda text: text.replace("tls {", "tls {\n    ticket_key_s = 1", 1)):
        holder = TicketHolder(fe2, ssl.TLSVersion.TLSv1_3)
        wait_until(lambda: not any(holder.connect() for _ in range(8)), "the ticket is too old", 30)
        assert TicketHolder(fe2, ssl.TLSVersion.TLSv1_3).connect()
