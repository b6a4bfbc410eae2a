# SPDX-License-Identifier: Apache-2.0
"""The admin port: who gets in, who may do what, and what it shows."""
import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from contextlib import suppress
from http.client import HTTPException, HTTPSConnection

import pytest

from cluster import Network, clients, wait_until
from cluster.network import can_connect
from cluster.process import run
from conftest import wait_for_health
from openmetrics import parse
from raw import log_in
from reloads import reload


def context(cluster, who="operator", **versions):
    made = ssl.create_default_context(cafile=cluster.certificates.ca)
    if who:
        made.load_cert_chain(cluster.certificates.certificate(who), cluster.certificates.key(who))
    for name, value in versions.items():
        setattr(made, name, value)
    return made


def connect(daemon, who="operator", seconds=20):
    return HTTPSConnection(daemon.address, Network.ADMIN, timeout=seconds,
                           context=context(daemon.cluster, who))


def ask(daemon, path, who="operator", order=None):
    """The status and the body of one request on a connection of its own."""
    connection = connect(daemon, who)
    try:
        body = order if order is None or isinstance(order, (str, bytes)) else json.dumps(order)
        connection.request("POST" if order is not None else "GET", path, body)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def order(daemon, command, who="operator", **more):
    """The status, and the objects of the answer."""
    status, text = ask(daemon, "/v1/order", who, {"command": command, **more})
    return status, [json.loads(line) for line in text.splitlines()]


def health(daemon):
    status, text = ask(daemon, "/health", "reader")
    answer = json.loads(text)
    assert (status == 200) == answer["is_healthy"] == (answer["reasons"] == [])
    return answer["reasons"]


def metrics(daemon):
    status, text = ask(daemon, "/metrics", "reader")
    assert status == 200
    return parse(text)


def peer_certificate(daemon):
    """What the admin port shows of itself."""
    connection = connect(daemon)
    connection.connect()
    try:
        return connection.sock.getpeercert(binary_form=True)
    finally:
        connection.close()


@pytest.fixture(scope="module")
def stranger(cluster):
    """A certificate with the operator's name that another authority signed."""
    cluster.certificates.found("other-ca", "Another CA")
    cluster.certificates.issue_client("stranger", "other-ca", "/CN=operator")
    return "stranger"


# --- who gets in ---------------------------------------------------------------------------------

def test_curl_reads_the_status_of_every_daemon(cluster):
    certificates = cluster.certificates
    for daemon in [*cluster.frontends.values(), *(backend.daemon for backend in cluster.backends.values())]:
        said = run(["curl", "-sS", "--fail", "--cacert", certificates.ca, "--cert", certificates.certificate("reader"),
                    "--key", certificates.key("reader"), f"https://{daemon.address}:{Network.ADMIN}/v1/status"],
                   "asking the admin port")
        assert json.loads(said)["program"] == daemon.program


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("who, why", [(None, "it showed no certificate"),
                                      ("stranger", "its certificate is of another authority"),
                                      ("fe1", "its certificate is of another authority")])
def test_who_has_no_certificate_of_the_admin_ca_is_refused_in_the_handshake(cluster, fe1, stranger, version, who, why):
    before = len(fe1.events("admin_client_refused", why))
    with pytest.raises((ssl.SSLError, OSError)):
        with socket.create_connection((fe1.address, Network.ADMIN), 10) as plain:
            with context(cluster, who, maximum_version=version).wrap_socket(plain, server_hostname=fe1.address) as tls:
                tls.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = tls.recv(100)
                raise AssertionError(answer) if answer else OSError("hung up")
    line = wait_until(lambda: fe1.events("admin_client_refused", why)[before:], "it is told", 10)[0]
    assert "peer=127." in line


def test_a_name_without_a_role_opens_nothing_and_is_told(cluster, fe1):
    cluster.certificates.issue_client("nobody")
    status, text = ask(fe1, "/health", "nobody")
    assert status == 403 and "error" in json.loads(text)
    fe1.await_event("admin_client_refused", "name=nobody")


def test_a_name_among_the_alternatives_counts_as_the_common_name_does(cluster, fe1):
    cluster.certificates.issue_client("second", subject="/CN=Somebody Else",
                                      more="subjectAltName=DNS:elsewhere.example.org,email:operator,DNS:reader\n")
    assert order(fe1, "block-clear", "second", account="none@example.org")[0] == 200
    fe1.await_event("event=admin_order name=operator", "block-clear")


def test_a_certificate_for_servers_or_one_that_has_ended_is_refused(cluster, fe1):
    cluster.certificates.sign("server", "admin-ca", "/CN=operator", "extendedKeyUsage=serverAuth\n")
    for who, why in [("server", "its certificate is not for clients")]:
        with pytest.raises((OSError, HTTPException)):
            ask(fe1, "/health", who)
        fe1.await_event("admin_client_refused", why)


def test_tls_older_than_1_2_is_refused(cluster, fe1):
    old = context(cluster, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection((fe1.address, Network.ADMIN), 10) as plain:
        with pytest.raises((ssl.SSLError, OSError)):
            old.wrap_socket(plain, server_hostname=fe1.address)


# --- orders ------------------------------------------------------------------------------------------

def test_an_order_has_the_answer_of_the_control_socket_and_a_line_in_the_log(fe1, fresh):
    account = fresh("sv1")
    session = log_in(fe1, account)
    status, rows = order(fe1, "who", "reader", account=account.address)
    assert status == 200 and rows[-1] == {"end": True}
    assert [row["backend"] for row in rows[:-1]] == ["sv1"]
    status, rows = order(fe1, "kick", account=account.address)
    assert status == 200 and sum(row.get("kicked", 0) for row in rows) == 1 and rows[-1] == {"end": True}
    session.socket.settimeout(20)
    assert session.rest() == b""
    line = fe1.await_event("event=admin_order name=operator role=operate", "kick", account.address)[-1]
    assert "status=200" in line and "result=done" in line and "peer=127." in line


def test_the_role_read_gives_no_orders_that_change_something(fe1):
    for command in ("kick", "drain", "block-clear", "queue-delete", "mirror-accept", "node-leave"):
        status, rows = order(fe1, command, "reader")
        assert status == 403 and rows == [{"end": True, "error": rows[0]["error"]}], command
    fe1.await_event("event=admin_order name=reader role=read", "drain", "status=403")
    assert health(fe1) == []


@pytest.mark.parametrize("body, status", [
    ('{"command":"nonsense"}', 404), ('{"command":"status"', 400), ('{"command":7}', 400), ("[]", 400),
    ("", 400), ('{"command":"ping","command":"drain"}', 400), (b"\xff\x00", 400),
    ('{"command":"' + "x" * 70 + '"}', 400)])
def test_what_is_no_order_is_refused_by_a_status_and_a_line(fe1, body, status):
    said, text = ask(fe1, "/v1/order", order=body)
    assert said == status
    assert set(json.loads(text)) == {"end", "error"}


def test_an_order_that_fails_says_why_as_the_control_socket_does(fe1):
    status, rows = order(fe1, "queue-show", id=4711)
    assert status == 200 and rows[-1]["end"] and rows[-1]["error"]


def test_unknown_paths_and_methods_are_told_apart(fe1):
    assert ask(fe1, "/")[0] == 404
    assert ask(fe1, "/v1/order")[0] == 405
    assert ask(fe1, "/metrics", order="{}")[0] == 405


@pytest.mark.parametrize("headers", [{"Content-Length": str(64 * 8192)}, {"Transfer-Encoding": "chunked"}],
                         ids=["told", "untold"])
def test_a_body_is_bounded_whether_its_length_is_told_or_not(fe1, headers):
    connection = connect(fe1)
    try:
        connection.request("POST", "/v1/order", iter([b"x" * 8192] * 64), headers,
                           encode_chunked="Transfer-Encoding" in headers)
        assert connection.getresponse().status == 413
    except OSError:
        pass  # it may hang up before all was sent
    finally:
        connection.close()
    assert health(fe1) == []


def test_no_other_process_may_ask_over_the_hub(fe1):
    """It calls itself admin; the kernel knows better."""
    def span(text):
        return struct.pack("=I", len(text)) + text

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as hub:
        hub.connect(str(fe1.run_folder / "hub.sock"))
        hub.settimeout(10)
        hub.send(b"\1" + span(b"admin") + struct.pack("=II", 0, 0))
        hub.send(b"\6" + struct.pack("=I", 1) + span(b"drain") + span(b'{"command":"drain"}'))
        assert hub.recv(100) == b""
    assert health(fe1) == []
    fe1.await_event("event=hub_peer_wrong", 'peer="admin 0"')


# --- slow and many -----------------------------------------------------------------------------------

def test_a_client_that_says_nothing_is_hung_up_on_and_others_are_served(fe1):
    silent = [socket.create_connection((fe1.address, Network.ADMIN), 10) for _ in range(10)]
    assert health(fe1) == []
    for one in silent:
        one.settimeout(20)
        assert one.recv(1) == b""
        one.close()


def test_of_many_connections_of_one_address_the_first_are_kept(fe1):
    many = []
    for _ in range(40):
        one = socket.create_connection((fe1.address, Network.ADMIN), 10)
        one.setblocking(False)
        many.append(one)

    def ended(one):
        try:
            return one.recv(1) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    wait_until(lambda: sum(map(ended, many)) >= 24, "those above the limit are ended", 4)
    for one in many:
        one.close()

    def is_served():
        with suppress(ConnectionResetError):  # while the last of the many are not gone yet
            return health(fe1) == []
        return False

    wait_until(is_served, "others are served", 10)


def test_who_leaves_before_the_answer_costs_nothing(fe1):
    for _ in range(20):
        connection = connect(fe1)
        connection.request("POST", "/v1/order", json.dumps({"command": "queue-list"}))
        connection.sock.close()
    assert health(fe1) == []


# --- health ------------------------------------------------------------------------------------------

def test_health_tells_of_a_drain(fe2):
    assert health(fe2) == []
    assert order(fe2, "drain", deadline_s=60)[0] == 200
    try:
        assert health(fe2) == ["drained"]
        assert metrics(fe2).value("mailstead_drained") == 1
    finally:
        assert order(fe2, "drain", undo=True)[0] == 200
    assert health(fe2) == []
    wait_until(lambda: can_connect(fe2.address, Network.IMAP), "it serves again", 10)


# --- metrics -----------------------------------------------------------------------------------------

def test_metrics_are_openmetrics_and_count(cluster, fe1, fresh):
    before = metrics(fe1)
    session = log_in(fe1, fresh("sv2"))
    after = metrics(fe1)
    logins = ("mailstead_logins_total", {"result": "accepted"})
    assert after.value(*logins) == before.value(*logins) + 1
    assert after.value("mailstead_sessions") >= 1
    assert after.value("mailstead_build_info", program="mailstead-frontend") == 1
    for role, count in (("worker", cluster.workers), ("queue", 1), ("directory", 1), ("admin", 1), ("control", 1)):
        rows = after.rows("mailstead_process_up", role=role)
        assert len(rows) >= count and all(value == 1 for _, value in rows), role
    assert after.value("mailstead_mirror_synchronised") == 1
    there_are = len(cluster.slapd.search("(objectClass=mailsteadAccount)", ("uid",)))
    assert after.value("mailstead_mirror_entries") == there_are
    assert after.value("mailstead_mirror_age_seconds") == 0
    for backend in cluster.backends:
        for protocol in ("lmtp", "imap", "pop3"):
            assert after.value("mailstead_backend_up", backend=backend, protocol=protocol) == 1
    assert after.value("mailstead_queue_disk_free_bytes") > 0
    session.close()


def test_metrics_show_the_queue_and_its_age(fe1, fresh, down):
    account = fresh("sv3")
    down("sv3")
    wait_until(lambda: metrics(fe1).value("mailstead_backend_up", backend="sv3", protocol="lmtp") == 0,
               "the backend is down", 30)
    clients.send(fe1, [account.address], clients.make_message("it waits", [account.address]))
    shown = metrics(fe1)
    assert shown.value("mailstead_queue_messages") >= 1
    assert shown.value("mailstead_queue_oldest_age_seconds") > 0


def test_a_node_tells_whether_its_mail_store_is_there(cluster):
    daemon, dovecot = cluster.backends["sv3"].daemon, cluster.backends["sv3"].dovecot
    for protocol in ("lmtp", "imap", "pop3", "sieve"):
        assert metrics(daemon).value("mailstead_store_up", protocol=protocol) == 1
    dovecot.stop()
    try:
        assert metrics(daemon).value("mailstead_store_up", protocol="imap") == 0
        checked = daemon.admin().run("status", "--check")
        assert checked.returncode == 1 and "its mail store does not take imap\n" in checked.stdout
    finally:
        dovecot.start()
    wait_for_health(cluster, "sv3")


def test_each_warning_in_the_log_is_counted(cluster, fe1, stranger):
    def count():
        return metrics(fe1).value("mailstead_events_total", event="admin_client_refused", default=0)

    before = count()
    with pytest.raises((OSError, HTTPException)):
        ask(fe1, "/health", stranger)
    wait_until(lambda: count() == before + 1, "it is counted", 10)
    last = metrics(fe1).value("mailstead_event_last_timestamp_seconds", event="admin_client_refused")
    assert abs(last - time.time()) < 60


# --- processes ---------------------------------------------------------------------------------------

def test_an_admin_process_that_is_killed_comes_back_on_the_same_port(fe1):
    old = fe1.children("admin")
    os.kill(old[0], signal.SIGKILL)
    assert health(fe1) == []
    assert fe1.children("admin") != old


def test_a_reload_loses_no_request_and_takes_new_certificates_and_names(cluster, fe2):
    certificates, failures, stop = cluster.certificates, [], threading.Event()
    certificates.issue_client("newcomer")

    def keep_asking(path):
        while not stop.is_set():
            try:
                status, text = ask(fe2, path, "reader")
                if status != 200:
                    failures.append((path, status, text))
            except (OSError, HTTPException) as error:
                failures.append((path, repr(error)))

    def keep_commanding():
        while not stop.is_set():
            done = fe2.admin().run("queue", "list")
            if done.returncode != 0:
                failures.append(("queue list", done.stderr))

    old = peer_certificate(fe2)
    askers = [threading.Thread(target=keep_asking, args=(path,)) for path in ("/health", "/metrics", "/v1/status")]
    askers.append(threading.Thread(target=keep_commanding))
    for asker in askers:
        asker.start()
    try:
        certificates.issue("fe2", ["mail.example.org", "fe2.example.org", fe2.address])
        text = fe2.configuration.read_text()
        fe2.configuration.write_text(text.replace('read = { "reader" }', 'read = { "reader", "newcomer" }'))
        for _ in range(2):
            assert "event=reload_refused" not in reload(fe2)
        wait_until(lambda: ask(fe2, "/health", "newcomer")[0] == 200, "the new name is known", 10)
    finally:
        stop.set()
        for asker in askers:
            asker.join(30)
    assert failures == []
    assert peer_certificate(fe2) != old
    fe2.configuration.write_text(text)
    fe2.process.signal(signal.SIGHUP)
    wait_until(lambda: ask(fe2, "/health", "newcomer")[0] == 403, "the name is gone again", 20)


def test_a_wrong_certificate_of_the_port_refuses_the_reload(cluster, fe2):
    text = fe2.configuration.read_text()
    section = text[text.index("admin_port {"):]
    wrong = section.replace(f'key = "{cluster.certificates.key("fe2")}"',
                            f'key = "{cluster.certificates.key("fe1")}"', 1)
    fe2.configuration.write_text(text.replace(section, wrong))
    before = len(fe2.events("reload_refused"))
    fe2.process.signal(signal.SIGHUP)
    wait_until(lambda: len(fe2.events("reload_refused")) > before, "the reload is refused", 20)
    fe2.configuration.write_text(text)
    assert "admin_port.certificate" in fe2.events("configuration_error")[-1]
    assert health(fe2) == []


def test_without_the_section_there_is_no_process_and_no_port(fe2):
    text = fe2.configuration.read_text()
    section = re.search(r"admin_port \{.*?\n\}\n", text, re.S).group()
    fe2.configuration.write_text(text.replace(section, ""))
    fe2.process.signal(signal.SIGHUP)
    try:
        wait_until(lambda: fe2.children("admin") == [], "the process is gone", 20)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((fe2.address, Network.ADMIN), 5)
    finally:
        fe2.configuration.write_text(text)
        fe2.process.signal(signal.SIGHUP)
    wait_until(lambda: fe2.children("admin") != [], "the process is back", 20)
    assert health(fe2) == []
