# SPDX-License-Identifier: Apache-2.0
"""The example for keepalived: three addresses over three machines with a frontend each."""
import shutil
import subprocess
import time

import pytest

import machines
from cluster import wait_until
from cluster.network import greets
from pacemaker import make_folder
from solitary import SOURCE, write_configuration

EXAMPLE = SOURCE / "contrib" / "keepalived"
ADDRESSES = {"fe1": "10.77.0.11", "fe2": "10.77.0.12", "fe3": "10.77.0.13"}
LIMIT_S = 3
pytestmark = pytest.mark.long


class Frontends:
    """The machines, a frontend on each, and keepalived with the example."""

    def __init__(self, folder, build):
        self.folder, self.build = folder, build
        self.ports = write_configuration(folder / "fe")
        file = folder / "fe" / "mailstead.conf"
        file.write_text(file.read_text().replace('address = "127.0.0.1:', 'address = "*:'))
        private = [folder / "fe" / name for name in ("run", "state", "queue")]
        for path in private:
            path.mkdir()
        self.machines = {name: machines.Machine(name, 21 + index, folder, [*private, "/etc/keepalived"])
                         for index, name in enumerate(ADDRESSES)}
        text = (EXAMPLE / "keepalived.conf").read_text().replace("10.0.2.", "10.77.0.")
        (folder / "keepalived.conf").write_text(text.replace('check-frontend"', f'check-frontend {file}"'))

    def boot(self, machine):
        machine.power_on()
        # A folder that everybody may write to is no place for root's scripts, says keepalived.
        machine.run("cp", self.folder / "keepalived.conf", EXAMPLE / "check-frontend", "/etc/keepalived")
        self.start(machine)
        machine.launch("keepalived", "-n", "-l", "-D", "-i", machine.name,
                       environment={"MAILSTEAD": str(self.build / "mailstead")})

    def start(self, machine):
        machine.launch(self.build / "mailstead-frontend", "-c", self.folder / "fe" / "mailstead.conf")

    def owners(self, address):
        return [name for name, machine in self.machines.items() if machine.is_on() and machine.has_address(address)]

    def serves(self, address):
        return greets(address, self.ports[1], b"* OK")

    def are_home(self):
        return all(self.owners(address) == [name] and self.serves(address) for name, address in ADDRESSES.items())

    def pid(self, machine):
        return machine.path(self.folder / "fe" / "run" / "mailstead-frontend.pid").read_text().strip()


@pytest.fixture(scope="module")
def frontends(build, request):
    reason = machines.why_not() or (None if shutil.which("keepalived") else "keepalived is not installed")
    if reason:
        pytest.skip(reason)
    folder = make_folder()
    made = Frontends(folder, build)
    with machines.Wire():
        try:
            for machine in made.machines.values():
                made.boot(machine)
            wait_until(made.are_home, "each address is on its frontend", 60, 0.1)
            yield made
        finally:
            for machine in made.machines.values():
                machine.power_off()
    if not request.session.testsfailed:
        shutil.rmtree(folder)


def killed(frontends, machine):
    machine.run("kill", "-KILL", frontends.pid(machine))
    return lambda: frontends.start(machine)


def hung(frontends, machine):
    """All of its processes are stopped: connections are accepted, and nothing is said."""
    machine.run("pkill", "-STOP", "-f", "mailstead-frontend -c")
    return lambda: machine.run("pkill", "-CONT", "-f", "mailstead-frontend -c")


def dead(frontends, machine):
    machine.power_off()
    return lambda: frontends.boot(machine)


def drained(frontends, machine):
    mailstead = [frontends.build / "mailstead", "-c", frontends.folder / "fe" / "mailstead.conf", "drain"]
    machine.run(*mailstead)
    return lambda: machine.run(*mailstead, "--undo")


@pytest.mark.parametrize("name", list(ADDRESSES))
@pytest.mark.parametrize("blow", [killed, dead, drained, hung])
def test_an_address_moves_and_returns(frontends, name, blow):
    if blow is drained and name != "fe1":
        pytest.skip("once is enough")
    address, machine = ADDRESSES[name], frontends.machines[name]
    moment = time.monotonic()
    mend = blow(frontends, machine)
    wait_until(lambda: frontends.owners(address) not in ([], [name]) and frontends.serves(address),
               f"{address} is served by another", 20)
    moved_s = time.monotonic() - moment
    for other in set(ADDRESSES) - {name}:
        assert frontends.owners(ADDRESSES[other]) == [other], "and the others stay"
    began = time.monotonic()
    mend()
    wait_until(frontends.are_home, "it returns", 30)
    print(f"{blow.__name__} on {name}: moved after {moved_s:.1f} s, home {time.monotonic() - began:.1f} s after it was mended")
    assert moved_s <= LIMIT_S


def test_one_slow_answer_moves_nothing(frontends):
    """Whenever it is asked: the frontend says nothing for a second, and then goes on."""
    address, machine = ADDRESSES["fe1"], frontends.machines["fe1"]
    for moment in range(5):
        mend = hung(frontends, machine)
        ends = time.monotonic() + 0.9
        while time.monotonic() < ends:
            assert frontends.owners(address) == ["fe1"]
            time.sleep(0.02)
        mend()
        wait_until(lambda: frontends.serves(address), "it answers", 5)
        ends = time.monotonic() + 1.2 + 0.17 * moment  # until what was asked then would have failed
        while time.monotonic() < ends:
            assert frontends.owners(address) == ["fe1"], f"it moved the {moment + 1}. time"
            time.sleep(0.02)


def test_keepalived_finds_nothing_wrong_with_the_example(frontends):
    machine = frontends.machines["fe2"]
    done = subprocess.run(machine.command(["keepalived", "-t", "-i", "fe2"]), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
