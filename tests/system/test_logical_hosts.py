# SPDX-License-Identifier: Apache-2.0
"""Several logical hosts on one machine: two backends and a frontend, told apart by their names alone."""
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from cluster import Network, clients, wait_until
from cluster.mailstead import SANITIZERS
from cluster.process import Process

# What a machine has in these places comes from the test's folder.
PLACES = {"run": "/run", "lib": "/var/lib", "spool": "/var/spool"}
NAMES = ("sv1", "sv2", "fe1")


class Host:
    """A copy of one of the cluster's daemons with addresses of its own, as a logical host of `machine`."""

    def __init__(self, machine, daemon, address):
        self.name, self.daemon, self.address = daemon.name, daemon, address
        self.cluster, self.configuration = daemon.cluster, machine.configuration(self.name)
        self.configuration.parent.mkdir(parents=True)
        self.configuration.write_text(machine.text_for(daemon, address))
        program = machine.cluster.build / daemon.program
        self.process = Process(f"{daemon.program}-{self.name}", machine.folder,
                               machine.command(program, "--logical-host", self.name),
                               is_ready=self.is_ready, environment=SANITIZERS)

    def is_ready(self):
        return " event=ready " in self.log()

    def log(self):
        return self.process.log_file.read_text(errors="replace")


class Machine:
    """One machine with default places: a mount namespace for each process, all with the same folders."""

    def __init__(self, cluster, folder, network):
        self.cluster, self.folder, self.network = cluster, folder, network
        for name in PLACES:
            (folder / name).mkdir()
        default = subprocess.run([cluster.build / "mailstead", "status"], capture_output=True, text=True,
                                 env={**os.environ, "MAILSTEAD_LOGICAL_HOST": "none-such"}, check=False).stderr
        self.etc = Path(re.match(r"(\S+)/mailstead/none-such/mailstead.conf", default).group(1))
        self.addresses = {name: network.address(11 + number) for number, name in enumerate(NAMES)}

    def configuration(self, name):
        return self.folder / "etc" / "mailstead" / name / "mailstead.conf"

    def text_for(self, daemon, address):
        """The daemon's own configuration with another address, and without any directory."""
        text = daemon.configuration.read_text()
        text = re.sub(r'(?m)^(state_directory|run_directory|    directory) = .*\n', "", text)
        text = text.replace(f'address = "{daemon.address}:', f'address = "{address}:')
        for name in NAMES:
            text = re.sub(rf'(backend "{name}" {{) address = ("[^"]*")',
                          rf'\1 address = "{self.addresses[name]}" tls_name = \2', text)
        # Who comes from the machine's own address is no frontend.
        frontends = {self.addresses[NAMES[-1]], address}
        return text.replace('frontends = { "127.0.0.0/8" }',
                            "frontends = { %s }" % ", ".join(f'"{one}"' for one in sorted(frontends)))

    def command(self, *words):
        binds = [f"mount --bind {self.folder / name} {place}" for name, place in PLACES.items()]
        binds.append(f"mount --bind {self.folder}/etc {self.etc}")
        return ["unshare", "-m", "sh", "-c", " && ".join([*binds, 'exec "$0" "$@"']), *map(str, words)]

    def mailstead(self, *words, **environment):
        return subprocess.run(self.command(self.cluster.build / "mailstead", *words), text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=60,
                              env={**os.environ, **SANITIZERS, **environment}, check=False)


def may_mount():
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def machine(cluster):
    if not may_mount():
        pytest.skip("no mount namespaces here: only with them the default folders can be the test's own")
    folder = Path(tempfile.mkdtemp(prefix="ms-hosts-", dir="/tmp"))
    folder.chmod(0o755)
    machine = Machine(cluster, folder, Network.find())
    machine.etc.mkdir(parents=True, exist_ok=True)
    daemons = [cluster.backends["sv1"].daemon, cluster.backends["sv2"].daemon, cluster.frontends["fe1"]]
    machine.hosts = {daemon.name: Host(machine, daemon, machine.addresses[daemon.name]) for daemon in daemons}
    with ExitStack() as stack:
        for host in machine.hosts.values():
            stack.callback(host.process.stop)
            host.process.start()
        yield machine
    shutil.rmtree(folder)


def test_each_has_folders_and_a_log_of_its_own(machine):
    for name, host in machine.hosts.items():
        assert (machine.folder / "run" / "mailstead" / name / "control.sock").is_socket()
        wait_until(lambda n=name: list((machine.folder / "lib" / "mailstead" / n).glob("mirror*.db")),
                   f"{name} has its mirror", 20)
        assert f" {host.daemon.program}@{name} worker-0 " in host.log()
        assert f"logical_host={name}" in host.log()
    assert (machine.folder / "spool" / "mailstead" / "fe1" / "queue.db").exists()


def test_a_user_logs_in_and_gets_mail_through_them(machine, fresh):
    frontend = machine.hosts["fe1"]
    for name in ("sv1", "sv2"):
        account = fresh(name)
        wait_until(lambda a=account: clients.refusal(frontend, a) == "", f"{account.address} logs in", 30, 0.1)
        assert not clients.send(frontend, [account.address], clients.make_message("to a logical host",
                                                                                  [account.address]))
        wait_until(lambda a=account: clients.subjects(clients.read_by_imap(frontend, a)) == ["to a logical host"],
                   "the message is there", 20, 0.1)


def test_connections_go_out_from_the_address_of_the_host(machine, fresh):
    account, frontend, backend = fresh("sv1"), machine.hosts["fe1"], machine.hosts["sv1"]
    wait_until(lambda: clients.refusal(frontend, account) == "", "it logs in", 30, 0.1)
    logins = [line for line in backend.log().splitlines() if " event=login " in line and account.address in line]
    assert logins and all(f"peer={frontend.address} " in line for line in logins)
    assert clients.refusal(backend, account), "from another address nobody is let in"


def test_the_command_finds_each_by_its_name(machine):
    for name in NAMES:
        wait_until(lambda n=name: machine.mailstead("--logical-host", n, "status").returncode == 0,
                   f"{name} answers", 20)
    said = machine.mailstead("status", "--json", MAILSTEAD_LOGICAL_HOST="sv2").stdout
    assert '"mailstead-backend"' in said
    said = machine.mailstead("status", "--json", "--logical-host", "fe1", MAILSTEAD_LOGICAL_HOST="sv2").stdout
    assert '"mailstead-frontend"' in said


def test_a_name_that_leaves_its_folder_is_refused(machine):
    for name in ("../sv1", "..", "a/b", "sv1."):
        done = machine.mailstead("--logical-host", name, "status")
        assert done.returncode == 2
        assert "is no name of a logical host" in done.stderr


def test_no_second_daemon_of_one_name_starts(machine):
    program = machine.cluster.build / "mailstead-backend"
    done = subprocess.run(machine.command(program, "--logical-host", "sv1"), text=True, capture_output=True,
                          timeout=20, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 1
    assert "another daemon is running there" in done.stderr
    assert machine.mailstead("--logical-host", "sv1", "status").returncode == 0
