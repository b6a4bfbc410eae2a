# SPDX-License-Identifier: Apache-2.0
"""The units for systemd, where systemd does not run: what it would see of a daemon that has no
more than they allow, and its own tools' judgement of them."""
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

from solitary import SOURCE, write_configuration

UNITS = SOURCE / "contrib" / "systemd"
SHARED = UNITS / "mailstead-.service.d" / "service.conf"
NAMES = ["mailstead-frontend", "mailstead-frontend@", "mailstead-backend", "mailstead-backend@"]


def setting(name, file=SHARED):
    return " ".join(re.findall(rf"^{name}=(.*)$", file.read_text(), re.MULTILINE))


class Manager:
    """What systemd does for a service with Type=notify, and with the unit's privileges."""

    def __init__(self, folder, build, program):
        write_configuration(folder)
        self.configuration = folder / "mailstead.conf"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "notify"))
        self.socket.settimeout(30)
        words = [f"+{name.removeprefix('CAP_').lower()}" for name in setting("CapabilityBoundingSet").split()]
        confined = (["setpriv", "--no-new-privs", f"--bounding-set=-all,{','.join(words)}"]
                    if os.getuid() == 0 else ["setpriv", "--no-new-privs"])
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                [*confined, build / program, "-c", self.configuration], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env={"NOTIFY_SOCKET": str(folder / "notify")})

    def told(self):
        """The next state that the daemon tells, as a dictionary."""
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())

    def reload(self):
        assert setting("ExecReload") == "kill -HUP $MAINPID"
        self.process.send_signal(signal.SIGHUP)
        states = [self.told(), self.told()]
        assert states[0]["RELOADING"] == "1" and int(states[0]["MONOTONIC_USEC"]) > 0
        assert states[1] == {"READY": "1"}


@pytest.fixture
def manager(folder, build):
    if not shutil.which("setpriv"):
        pytest.skip("setpriv (util-linux) is not installed")
    made = []

    def make(program):
        made.append(Manager(folder / "node", build, program))
        return made[-1]

    yield make
    for each in made:
        each.process.kill()
        each.process.wait()
        each.socket.close()


@pytest.mark.parametrize("program", ["mailstead-frontend", "mailstead-backend"])
def test_the_service_manager_is_told_of_a_whole_life(manager, program):
    daemon = manager(program)
    assert daemon.told() == {"READY": "1"}
    daemon.reload()
    right = daemon.configuration.read_text()
    daemon.configuration.write_text("nonsense\n")
    daemon.reload()  # the old one goes on: systemd must not wait for ever
    daemon.configuration.write_text(right)
    daemon.reload()
    daemon.process.terminate()
    assert daemon.told() == {"STOPPING": "1"}
    assert daemon.process.wait(30) == 0


def test_who_cannot_start_is_never_ready(manager, folder):
    (folder / "node").mkdir()
    (folder / "node" / "run").write_text("in the way")
    daemon = manager("mailstead-backend")
    assert daemon.process.wait(30) == 1
    daemon.socket.settimeout(0.1)
    with pytest.raises(TimeoutError):
        daemon.told()


@pytest.fixture
def installed(folder, build):
    """The units as systemd would find them, with the programs of the build."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze (systemd) is not installed")
    shutil.copytree(UNITS, folder / "units")
    for file in (folder / "units").glob("*.service"):
        text = file.read_text().replace("ExecStart=mailstead", f"ExecStart={build}/mailstead")
        (folder / "units" / file.name.replace("@", "@sv1")).write_text(text)
        if "@" not in file.name:
            continue
        file.unlink()

    def analyze(*words):
        return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True,
                              env={**os.environ, "SYSTEMD_UNIT_PATH": f"{folder}/units:"})

    return analyze


@pytest.mark.parametrize("name", NAMES)
def test_systemd_finds_nothing_wrong_with_a_unit(installed, folder, name):
    file = folder / "units" / f"{name.replace('@', '@sv1')}.service"
    done = installed("verify", "--recursive-errors=no", "--man=no", file)
    assert done.returncode == 0 and "mailstead" not in done.stderr, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_is_confined(installed, folder, name):
    file = folder / "units" / f"{name.replace('@', '@sv1')}.service"
    done = installed("security", "--offline=yes", "--no-pager", "--threshold=35", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_logical_hosts_have_units_of_their_own():
    for program in ("frontend", "backend"):
        file = UNITS / f"mailstead-{program}@.service"
        assert setting("Environment", file) == "MAILSTEAD_LOGICAL_HOST=%i"
        assert setting("ExecStart", file).endswith(f"mailstead-{program} -c /etc/mailstead/%i/mailstead.conf")
