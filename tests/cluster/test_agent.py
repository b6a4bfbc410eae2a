# SPDX-License-Identifier: Apache-2.0
"""The resource agent's exit codes, each in each situation, with a real daemon."""
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cluster.process import read_stat, wait_until
from solitary import SOURCE, write_configuration

AGENT = SOURCE / "contrib" / "ocf" / "mailstead"
OK, GENERIC, UNIMPLEMENTED, PERMISSION, INSTALLED, CONFIGURED, NOT_RUNNING = 0, 1, 3, 4, 5, 6, 7
pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="a cluster manager's agents run as root")


class Resource:
    """One resource: its parameters, and how the cluster manager would call its agent."""

    def __init__(self, folder, build, program="backend", peers="127.0.0.0/8"):
        self.ports = write_configuration(folder, peers)
        self.folder, self.pid_file = folder, folder / "run" / f"mailstead-{program}.pid"
        self.parameters = {"program": program, "config": folder / "mailstead.conf",
                           "run_directory": folder / "run", "log": folder / "log",
                           "daemon": build / f"mailstead-{program}", "command": build / "mailstead"}

    def popen(self, action, depth=0, timeout_s=60, **options):
        environment = {f"OCF_RESKEY_{name}": str(value) for name, value in self.parameters.items()}
        environment |= {"OCF_ROOT": "/usr/lib/ocf", "OCF_RESOURCE_INSTANCE": "mail", "OCF_CHECK_LEVEL": str(depth),
                        "OCF_RESKEY_CRM_meta_timeout": str(timeout_s * 1000)}
        # A pipe that a daemon keeps open would make communicate() wait for the daemon's end.
        return subprocess.Popen([AGENT, action], env=environment, cwd="/", stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)

    def call(self, action, depth=0, timeout_s=60, **options):
        """The exit code; `said` is what the agent wrote to standard error."""
        agent = self.popen(action, depth, timeout_s, **options)
        self.said = agent.communicate(timeout=90)[1]
        return agent.returncode

    @property
    def pid(self):
        return int(self.pid_file.read_text())


@pytest.fixture
def resource(folder, build):
    made = []

    def make(name="a", **options):
        made.append(Resource(folder / name, build, **options))
        return made[-1]

    yield make
    for each in made:
        if each.pid_file.exists():
            each.call("stop")


@pytest.fixture
def mail(resource):
    return resource()


def is_alive(pid):
    return read_stat(pid) is not None


def await_death(pid):
    wait_until(lambda: not is_alive(pid), f"process {pid} is gone", 10)


def test_never_started(mail):
    assert [mail.call("monitor"), mail.call("monitor", 10)] == [NOT_RUNNING] * 2
    assert mail.call("stop") == OK
    assert mail.call("validate-all") == OK and mail.call("validate-all", 10) == OK


@pytest.mark.parametrize("program", ["backend", "frontend"])
def test_running_and_ended(resource, program):
    mail = resource(program=program)
    assert mail.call("start") == OK
    pid = mail.pid
    assert [mail.call("monitor"), mail.call("monitor", 10)] == [OK] * 2
    assert mail.call("start") == OK and mail.pid == pid
    assert mail.call("stop") == OK
    assert not is_alive(pid)
    assert [mail.call("monitor"), mail.call("monitor", 10)] == [NOT_RUNNING] * 2
    assert mail.call("stop") == OK


def test_a_crash_is_a_failure_until_it_is_cleaned_up(mail):
    assert mail.call("start") == OK
    pid = mail.pid
    os.kill(pid, signal.SIGKILL)
    await_death(pid)
    assert [mail.call("monitor"), mail.call("monitor", 10)] == [GENERIC] * 2
    assert "has died" in mail.said
    assert mail.call("stop") == OK and mail.call("monitor") == NOT_RUNNING
    assert mail.call("start") == OK
    os.kill(mail.pid, signal.SIGKILL)
    assert mail.call("start") == OK and mail.call("monitor", 10) == OK


def test_a_number_that_another_process_got_is_not_the_daemon(mail):
    assert mail.call("start") == OK
    old = mail.pid
    os.kill(old, signal.SIGKILL)
    await_death(old)
    mail.pid_file.write_text(f"{os.getpid()}\n")
    assert mail.call("monitor") == GENERIC
    assert mail.call("stop") == OK, "and we are still alive"


def test_a_stopped_daemon_is_a_failure_and_can_be_ended(mail):
    assert mail.call("start") == OK
    pid = mail.pid
    os.kill(pid, signal.SIGSTOP)
    assert [mail.call("monitor"), mail.call("monitor", 10)] == [GENERIC] * 2
    assert mail.call("start") == GENERIC
    assert mail.call("stop") == OK
    assert not is_alive(pid) and mail.call("monitor") == NOT_RUNNING


def test_a_worker_that_hangs_is_found_at_depth_10(mail):
    assert mail.call("start") == OK
    worker = next(pid for pid in children(mail.pid) if Path(f"/proc/{pid}/comm").read_text() == "worker-0\n")
    os.kill(worker, signal.SIGSTOP)
    assert mail.call("monitor") == OK
    assert mail.call("monitor", 10) == GENERIC
    assert "does not greet: nothing came in time" in mail.said


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_stop_that_hangs_ends_before_the_cluster_loses_patience(mail):
    assert mail.call("start") == OK
    pid, stopper = mail.pid, None
    try:
        # Whoever makes it go on is answered by the next SIGSTOP: it never sees its SIGTERM.
        stopper = subprocess.Popen(["/bin/sh", "-c", f"while kill -STOP {pid} 2>/dev/null; do :; done"])
        began = time.monotonic()
        assert mail.call("stop", timeout_s=8) == OK
        assert time.monotonic() - began < 8
    finally:
        stopper.kill()
        stopper.wait()
    assert not is_alive(pid) and mail.call("monitor") == NOT_RUNNING


def test_a_lost_pid_file_hides_no_daemon(mail):
    assert mail.call("start") == OK
    pid = mail.pid
    mail.pid_file.unlink()
    assert mail.call("monitor") == OK
    assert mail.call("stop") == OK and not is_alive(pid)


@pytest.mark.parametrize("missing", ["daemon", "command", "config"])
def test_a_node_without_the_program_or_the_configuration(mail, missing):
    there = mail.parameters[missing]
    mail.parameters[missing] = mail.folder / "absent"
    assert mail.call("validate-all") == mail.call("start") == INSTALLED
    assert "absent is not there" in mail.said
    assert mail.call("monitor") == mail.call("monitor", 10) == NOT_RUNNING and mail.call("stop") == OK
    mail.parameters[missing] = there
    assert mail.call("start") == OK


def test_a_running_daemon_whose_configuration_vanished_can_be_ended(mail):
    assert mail.call("start") == OK
    pid = mail.pid
    mail.parameters["config"].unlink()
    assert mail.call("monitor") == OK and mail.call("monitor", 10) == GENERIC
    assert mail.call("stop") == OK and not is_alive(pid)


def test_a_broken_configuration_keeps_it_off_this_node(mail):
    mail.parameters["config"].write_text("cluster {\n    hostname = 7 7\n}\n")
    assert mail.call("validate-all") == OK and mail.call("validate-all", 10) == INSTALLED
    assert mail.call("start") == INSTALLED
    assert re.search(r"ocf-exit-reason:.*mailstead.conf:2", mail.said)
    assert mail.call("monitor") == NOT_RUNNING and mail.call("stop") == OK


@pytest.mark.parametrize("name, value", [("program", "queue"), ("logical_host", "../x"), ("config", "here.conf"),
                                         ("run_directory", "run"), ("log", "syslog")])
def test_a_wrong_parameter_is_wrong_everywhere(mail, name, value):
    mail.parameters[name] = value
    assert [mail.call(action) for action in ("validate-all", "start", "monitor")] == [CONFIGURED] * 3
    assert "ocf-exit-reason:" in mail.said and value in mail.said
    assert mail.call("stop") == OK, "or the node would be fenced for a slip of the pen"


def test_a_taken_port_is_told_at_once(resource):
    first, second = resource("a"), resource("b")
    text = second.parameters["config"].read_text()
    second.parameters["config"].write_text(text.replace(f":{second.ports[0]}", f":{first.ports[0]}"))
    assert first.call("start") == OK
    assert second.call("start") == GENERIC
    assert "Address already in use" in second.said
    assert second.call("stop") == OK and second.call("monitor") == NOT_RUNNING
    assert first.call("monitor", 10) == OK


def test_a_node_that_may_not_ask_itself_is_told_what_to_change(resource):
    mail = resource(peers="192.0.2.0/24")
    agent = mail.popen("start")
    wait_until(lambda: mail.call("monitor") == OK, "the daemon runs", 20)
    assert mail.call("monitor", 10) == GENERIC and "own address in node.frontends?" in mail.said
    assert agent.poll() is None, "it serves nobody: the start waits, until the cluster's timeout"
    agent.terminate()
    agent.communicate()
    assert mail.call("stop") == OK


def test_two_instances_do_not_mind_each_other(resource):
    a, b = resource("a"), resource("b")
    assert a.call("start") == OK and b.call("monitor") == NOT_RUNNING
    assert b.call("start") == OK
    os.kill(a.pid, signal.SIGKILL)
    assert b.call("monitor", 10) == OK
    assert a.call("stop") == OK and b.call("monitor", 10) == OK


def test_concurrent_starts_start_one(mail):
    agents = [mail.popen("start") for _ in range(4)]
    assert [agent.wait(60) for agent in agents] == [OK] * 4
    for agent in agents:
        agent.communicate()
    pid = mail.pid
    wait_until(lambda: daemons_of(mail) == [pid], "the others have given way", 10)
    assert mail.call("monitor", 10) == OK


def daemons_of(mail):
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if is_daemon_of(folder, mail)]


def is_daemon_of(folder, mail):
    try:
        return (str(mail.parameters["config"]).encode() in (folder / "cmdline").read_bytes()
                and (folder / "comm").read_text() == "mailstead-backe\n")
    except OSError:
        return False


def test_the_daemon_keeps_nothing_of_the_agents_open(mail):
    reading, writing = os.pipe()
    high = 200
    os.dup2(writing, high)
    assert mail.call("start", pass_fds=(writing, high)) == OK  # it returned: standard output is free, too
    os.close(writing)
    os.close(high)
    assert os.read(reading, 1) == b"", "the other end is closed"
    os.close(reading)
    assert read_stat(mail.pid)[3] == str(mail.pid), "a session of its own: field 6 of proc(5)"


def test_what_is_no_action_and_who_may_what(mail, tmp_path):
    assert mail.call("promote") == mail.call("reload") == UNIMPLEMENTED
    assert mail.call("usage") == mail.call("meta-data") == OK
    copy = mail.folder / "agent"
    shutil.copy(AGENT, copy)
    copy.chmod(0o755)
    nobody = {"user": pwd.getpwnam("nobody").pw_uid, "cwd": "/", "capture_output": True, "text": True}
    assert subprocess.run([copy, "monitor"], **nobody).returncode == PERMISSION
    assert subprocess.run([copy, "meta-data"], **nobody, env={}).returncode == OK


def test_the_meta_data_are_valid():
    if not shutil.which("xmllint"):
        pytest.skip("xmllint (libxml2-utils) is not installed")
    dtd = Path("/usr/share/resource-agents/ra-api-1.dtd")
    if not dtd.exists():
        pytest.skip(f"{dtd} (resource-agents) is not there")
    meta_data = subprocess.run([AGENT, "meta-data"], capture_output=True, check=True).stdout
    subprocess.run(["xmllint", "--noout", "--valid", "-"], input=meta_data, cwd=dtd.parent, check=True)


def test_every_parameter_is_in_the_meta_data():
    told = set(re.findall(r'<parameter name="([a-z_]+)"', AGENT.read_text()))
    used = set(re.findall(r"OCF_RESKEY_([a-z_]+)", AGENT.read_text()))
    assert told == {name for name in used if not name.startswith(("name", "CRM"))}
