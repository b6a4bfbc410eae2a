# SPDX-License-Identifier: Apache-2.0
"""Processes that outlive the script that started them: a pid file, a log, a deadline.

Each runs in a session of its own, so that the whole of it, children included, can be
killed as a crash would.  A pid file also holds the start time: a number that another
process got since is never signalled.
"""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


class TroubleError(Exception):
    """Something did not work; the text says what, for the one who reads the screen."""


def wait_until(predicate, what, seconds=30.0, every=0.02):
    """Polls `predicate` until it gives something true, which is returned."""
    deadline = time.monotonic() + seconds
    while True:
        result = predicate()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise TroubleError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(every)


def read_stat(pid):
    """The fields of /proc/PID/stat behind the command's name, or None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields


class Process:
    """One server: `command` in the foreground, its output in `folder`/log/NAME.log."""

    def __init__(self, name, folder, command, is_ready=None, environment=None):
        self.name = name
        self.command = [str(word) for word in command]
        self.is_ready = is_ready
        self.environment = environment
        self.pid_file = Path(folder) / "run" / f"{name}.pid"
        self.log_file = Path(folder) / "log" / f"{name}.log"
        self.popen = None

    # -- state ---------------------------------------------------------------
    @property
    def pid(self):
        """The process id while it runs, else None."""
        if self.popen is not None and self.popen.poll() is not None:
            self.popen = None
        try:
            pid, started = self.pid_file.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        fields = read_stat(pid)
        return int(pid) if fields and fields[19] == started else None

    def is_running(self):
        return self.pid is not None

    def members(self):
        """The ids of all its processes: everything in the session that it leads."""
        pid = self.pid
        return [] if pid is None else members_of_session(pid)

    def tail(self, lines=20):
        try:
            text = self.log_file.read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    # -- life ----------------------------------------------------------------
    def launch(self):
        """Starts it, unless it runs, without waiting until it is ready."""
        if self.is_running():
            return
        for file in (self.pid_file, self.log_file):
            file.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log_file, "ab") as log:
            try:
                self.popen = subprocess.Popen(
                    self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                    start_new_session=True, env={**os.environ, **(self.environment or {})})
            except OSError as error:
                raise TroubleError(f"cannot start {self.name}: {error}") from None
        fields = read_stat(self.popen.pid)
        started = fields[19] if fields else "0"
        self.pid_file.write_text(f"{self.popen.pid} {started}\n")

    def start(self, seconds=30.0):
        """Starts it and waits until it serves."""
        self.launch()
        self.wait_ready(seconds)

    def wait_ready(self, seconds=30.0):
        def ready_or_dead():
            if not self.is_running():
                raise TroubleError(f"{self.name} ended at once:\n{self.tail()}")
            return self.is_ready is None or self.is_ready()

        try:
            wait_until(ready_or_dead, f"{self.name} serves", seconds)
        except TroubleError as trouble:
            if self.is_running():
                raise TroubleError(f"{trouble}\n{self.tail()}") from None
            raise

    def signal(self, number):
        pid = self.pid
        if pid is not None:
            os.kill(pid, number)

    def stop(self, seconds=20.0):
        """Asks it to end; after the deadline it is killed, and False returned."""
        return not stop_all([self], seconds)

    def kill(self):
        """kill -9 of it and of all its children, as in a crash of the machine."""
        pid = self.pid
        if pid is None:
            return
        wait_until(lambda: not kill_all(members_of_session(pid)), f"{self.name} is dead", 10)
        if self.popen is not None:
            self.popen.wait()
            self.popen = None


def stop_all(processes, seconds=20.0):
    """Asks all of them to end, then waits; the names of those that had to be killed."""
    running = [(process, process.pid) for process in processes if process.is_running()]
    for process, _ in running:
        process.signal(signal.SIGTERM)
    stubborn = []
    deadline = time.monotonic() + seconds
    for process, leader in running:
        try:
            wait_until(lambda: not process.is_running(), f"{process.name} ends",
                       max(0, deadline - time.monotonic()))
        except TroubleError:
            stubborn.append(process.name)
            process.kill()
        kill_all(members_of_session(leader))
    return stubborn


def members_of_session(leader):
    """The ids of the processes in the session that `leader` made (also after its end)."""
    members = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = read_stat(entry)
            if fields and int(fields[3]) == leader:
                members.append(int(entry))
    return members


def socket_owner(client, server, pids):
    """Which of the processes `pids` has the server's end of the IPv4 connection between these addresses."""
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == hexadecimal(server) and fields[2] == hexadecimal(client):
            inodes.add(f"socket:[{fields[9]}]")
    for pid in pids:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            try:
                if os.readlink(entry.path) in inodes:
                    return pid
            except FileNotFoundError:
                pass
    return None


def hexadecimal(address):
    """An (address, port) as /proc/net/tcp writes it."""
    octets = bytes(int(part) for part in address[0].split("."))
    return f"{int.from_bytes(octets, sys.byteorder):08X}:{address[1]:04X}"


def kill_all(pids):
    """kill -9; gives `pids` back."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return pids


def run(command, what, **options):
    """Runs a command to its end and gives its output; TroubleError with all of it on failure."""
    if "input" not in options:
        options["stdin"] = subprocess.DEVNULL
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True, **options)
    if done.returncode != 0:
        words = " ".join(str(word) for word in command)
        raise TroubleError(f"{what} failed ({done.returncode}): {words}\n{done.stdout}{done.stderr}")
    return done.stdout
