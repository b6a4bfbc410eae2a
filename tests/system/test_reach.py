# SPDX-License-Identifier: Apache-2.0
"""The command for the whole cluster: some nodes by their control sockets, others by admin ports, some dead."""
import json
import re
import socket
import subprocess
import time

import pytest

from cluster import Network, wait_until
from cluster.mailstead import SANITIZERS, parse_json_texts
from raw import log_in

PARTLY = 4


class Office:
    """An administrator's machine: it has the command, a certificate, and no daemon.

    fe1 is reached by its admin port, fe2 by its control socket, the backends by their ports.
    """

    def __init__(self, cluster, folder):
        self.cluster, self.folder = cluster, folder
        self.configuration = folder / "mailstead.conf"
        self.write()

    def write(self, more="", who="operator", ca="ca"):
        text = self.cluster.frontends["fe1"].configuration.read_text()
        certificates = self.cluster.certificates
        text = re.sub(r'(frontend "fe1" {.*) control_socket = "[^"]*"', r"\1", text)
        text = re.sub(r'(frontend "fe2" {.*)admin_port = \d+', r"\1", text)
        text = re.sub(r'hostname = "[^"]*"', 'hostname = "office.example.org"', text)
        text = re.sub(r'run_directory = "[^"]*"', f'run_directory = "{self.folder}"', text)
        text = re.sub(r'client_certificate = "[^"]*"', f'client_certificate = "{certificates.certificate(who)}"', text)
        text = re.sub(r'client_key = "[^"]*"', f'client_key = "{certificates.key(who)}"', text)
        text = re.sub(r'node_ca = "[^"]*"', f'node_ca = "{certificates.certificate(ca)}"', text)
        self.configuration.write_text(text.replace('    backend "sv1"', f'{more}    backend "sv1"', 1))

    def run(self, *arguments):
        return subprocess.run([self.cluster.build / "mailstead", "-c", self.configuration, *arguments], text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=60, env=SANITIZERS)

    def json(self, *arguments, status=0):
        done = self.run(*arguments, "--json")
        assert done.returncode == status, done.stdout + done.stderr
        return parse_json_texts(done.stdout)


@pytest.fixture
def office(cluster, tmp_path):
    return Office(cluster, tmp_path)


def frontend(name, address, port):
    return f'    frontend "{name}" {{ address = "{address}" admin_port = {port} }}\n'


@pytest.fixture
def silent():
    """Two addresses that take connections and say nothing."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    yield [listener.getsockname() for listener in listeners]
    for listener in listeners:
        listener.close()


def test_status_shows_every_node_and_how_the_frontends_see_the_backends(cluster, office, fresh):
    account = fresh("sv1")
    cluster.slapd.set_host(account, account.host)  # a change that everyone hears of
    wait_until(lambda: office.run("status", "--check").returncode == 0, "all is well everywhere", 20, 0.2)
    text = wait_until(lambda: (text := office.run("status").stdout).count(" current ") == 5 and text,
                      "all have followed", 20, 0.2)
    lines = {line.split()[0]: line for line in text.splitlines() if line}
    assert all(name in lines for name in ("fe1", "fe2", "sv1", "sv2", "sv3")), text
    assert "frontend" in lines["fe1"] and "current" in lines["fe2"] and "empty" in lines["fe2"]
    assert all(len(line) <= 80 for line in text.splitlines()), text
    documents = {document["node"]: document for document in office.json("status")}
    assert set(documents) == {"fe1", "fe2", "sv1", "sv2", "sv3"}
    assert documents["sv1"]["program"] == "mailstead-backend" and documents["fe1"]["behind_ms"] == 0
    assert documents["sv1"]["storage_node"]["state"] == "serving"
    one, = office.json("status", "--node", "fe2")
    assert one["node"] == "fe2" and one["queue"]["messages"] == 0


def test_a_dead_node_is_named_and_hides_nothing_of_the_others(cluster, office):
    office.write(frontend("fe9", cluster.network.address(99), 8443))
    done = office.run("status")
    assert done.returncode == PARTLY
    assert "NO ANSWER" in next(line for line in done.stdout.splitlines() if line.startswith("fe9"))
    assert re.search(r"fe9: \S+ port 8443: Connection refused; does the daemon run\?", done.stdout)
    assert office.run("status", "--check").returncode == 1
    rows = office.json("status", status=PARTLY)
    assert [row["node"] for row in rows if "error" in row] == ["fe9"]
    done = office.run("who")
    assert done.returncode == PARTLY and done.stderr.startswith("mailstead: fe9: ") and done.stderr.count("\n") == 1


@pytest.mark.long
def test_silent_nodes_cost_their_time_once(office, silent):
    office.write("".join(frontend(f"fe{number}", *address) for number, address in enumerate(silent, 8)))
    began = time.monotonic()
    done = office.run("block", "list")
    assert 4 < time.monotonic() - began < 9
    assert done.returncode == PARTLY
    assert [line.split()[1] for line in done.stderr.splitlines()] == ["fe8:", "fe9:"]
    assert done.stderr.count("no answer in time") == 2


def test_sessions_are_shown_and_ended_at_all_frontends(cluster, office, fe1, fe2, fresh):
    account = fresh("sv1")
    sessions = [log_in(fe1, account), log_in(fe2, account), log_in(fe2, account)]
    rows = office.json("who", "--account", account.address)
    assert sorted(row["node"] for row in rows) == ["fe1", "fe2", "fe2"]
    head, *shown = office.run("who", "--account", account.address).stdout.splitlines()
    assert head.split()[-1] == "node" and sorted(line.split()[-1] for line in shown) == ["fe1", "fe2", "fe2"]
    assert [row["node"] for row in office.json("who", "--account", account.address, "--node", "fe1")] == ["fe1"]
    gate = office.json("who", "--account", account.address, "--node", "sv1")
    assert [row["node"] for row in gate] == ["sv1"] * 3
    assert sorted((row["node"], row["kicked"]) for row in office.json("kick", "--account", account.address)) == [
        ("fe1", 1), ("fe2", 2)]
    for session in sessions:
        session.socket.settimeout(20)
        assert session.rest() == b""


def test_who_may_only_read_is_told_so_by_each_node(office, cluster):
    office.write(who="reader")
    assert office.run("who").returncode == 0
    done = office.run("kick", "--account", "nobody@example.org")
    assert done.returncode == PARTLY  # fe2 is reached by its socket
    assert done.stderr.startswith("mailstead: fe1: ") and done.stderr.count("\n") == 1
    assert office.run("kick", "--account", "nobody@example.org", "--node", "fe1").returncode == 1


def test_certificates_that_do_not_fit_are_told_in_one_line(office, cluster):
    office.write(ca="admin-ca")
    done = office.run("who", "--node", "fe1")
    assert done.returncode == 1 and "fe1: " in done.stderr and "prove who it is" in done.stderr
    office.write(who="fe1")
    done = office.run("who", "--node", "fe1")
    assert done.returncode == 1 and done.stderr.startswith("mailstead: fe1: ") and done.stderr.count("\n") == 1
    office.write()
    done = office.run("who", "--node", "fe7")
    assert done.returncode == 1 and "the section cluster has no frontend or backend fe7" in done.stderr


def test_a_machine_is_drained_from_afar(office, fe1):
    drained, = office.json("drain", "--node", "fe1")
    try:
        assert drained["node"] == "fe1" and drained["is_drained"]
        assert "drained" in office.run("status").stdout
        assert not office.json("status", "--node", "fe2")[0]["drain"]["is_drained"]
    finally:
        assert {row["node"] for row in office.json("drain", "--undo", "--all")} == {"fe1", "fe2"}
    wait_until(lambda: log_in_again(fe1), "fe1 takes connections", 10)


def log_in_again(frontend):
    try:
        socket.create_connection((frontend.address, Network.IMAP), 5).close()
        return True
    except ConnectionRefusedError:
        return False


def test_orders_for_one_node_reach_it_by_either_way(office, cluster):
    for name in ("fe1", "fe2"):
        assert office.run("queue", "list", "--node", name).stdout == "nothing of that kind waits\n"
        assert office.json("queue", "stat", "--node", name)[0]["node"] == name
        assert office.json("mirror", "status", "--node", name)[0]["node"] == name
        account = cluster.accounts_of("sv2")[-1]
        assert office.json("lookup", account.address, "--node", name)[0]["host"] == "sv2"
    assert office.json("node", "status", "--node", "sv3")[0]["node"] == "sv3"
    done = office.run("queue", "list")
    assert done.returncode == 1 and "does the daemon run?" in done.stderr  # this machine has none


def test_all_nodes_acknowledge_a_move(office, fresh):
    account = fresh("sv1")
    chosen = ("--filter", f"(uid={account.uid})", "--yes", "--journal", str(office.folder / "journal"))
    (office.folder / "journal").mkdir(mode=0o700)
    done = office.run("reassign", "--from", "sv1", "--to", "sv2", *chosen)
    assert done.returncode == 0, done.stderr
    for name in ("fe1", "fe2", "sv1", "sv2", "sv3"):
        assert f"{name} routes by the new values after" in done.stdout, done.stdout
    assert "this machine" not in done.stdout
    lines = office.json("restore", "sv1", *chosen)
    assert {line["name"] for line in lines if line.get("event") == "node" and line["followed"]} == {
        "fe1", "fe2", "sv1", "sv2", "sv3"}


def test_the_daemons_own_configuration_names_them_all_and_itself_once(fe1):
    nodes = [json.loads(line)["node"] for line in fe1.admin_of_all().run("status", "--json").stdout.splitlines()]
    assert sorted(nodes) == ["fe1", "fe2", "sv1", "sv2", "sv3"]


def connect_many(address, count):
    """Connections that have not logged in, from several addresses."""
    connections = []
    for number in range(count):
        connection = socket.socket()
        connection.bind((f"127.0.0.{number % 8 + 1}", 0))
        connection.setblocking(False)
        connection.connect_ex((address, Network.IMAP))
        connections.append(connection)
    return connections


@pytest.mark.long
def test_ten_thousand_sessions_are_shown_over_the_admin_port(office, fe1):
    for way in ("fe1", "fe2"):
        connections = connect_many(office.cluster.frontends[way].address, 10000)
        try:
            # They are taken one after the other, and may stay for login_s.
            wait_until(lambda w=way: len({row["id"] for row in office.json("who", "--node", w)}) >= 10000,
                       f"{way} shows all sessions", 5, 0.05)
        finally:
            for connection in connections:
                connection.close()


@pytest.mark.long
def test_hundreds_of_sessions_of_a_backend_are_ended_everywhere(office, fe1, fe2, fresh):
    accounts, bystander = fresh("sv1", 3), log_in(fe1, fresh("sv2"))
    sessions = [log_in(server, account) for account in accounts for server in (fe1, fe2) for _ in range(60)]
    kicked = {row["node"]: row["kicked"] for row in office.json("kick", "--backend", "sv1")}
    assert kicked["fe1"] >= 180 and kicked["fe2"] >= 180
    for session in sessions:
        session.socket.settimeout(20)
        assert session.rest() == b""
    assert bystander.ask(b"b NOOP").startswith(b"b OK")
    bystander.close()
