# SPDX-License-Identifier: Apache-2.0
"""Machines made of namespaces, two networks between them, and a switch for their power.

A machine has process, network, mount, host name, IPC and cgroup namespaces of its own, and its
own /run, /dev/shm and whatever else it must not share; all other files it shares with us, as a
cluster with a shared disk does.  SIGKILL of its first process ends it without a goodbye: its links
are cut before, or the kernel would still tell its peers that connections are closed.

The networks are bridges in a network namespace of the test's own: "lan", where clients are,
too, and "ring", the cluster manager's interconnect.
"""
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

try:
    from cluster.process import run
except ImportError:  # in a machine, as its first process
    run = None

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
NETWORKS = {"lan": "10.77.0", "ring": "10.78.0"}
HARNESS = 254  # our own number in each network


def why_not():
    """Why there can be no machines here; None if there can."""
    if os.getuid() != 0:
        return "machines of namespaces need root"
    for program in ("unshare", "nsenter", "ip", "nft"):
        if not shutil.which(program):
            return f"{program} is not installed"
    tried = subprocess.run(
        ["unshare", "-n", "-m", "-p", "-f", "sh", "-c",
         "ip link add name b0 type bridge && ip link add name v0 type veth peer name v1 && nft add table inet t "
         "&& mount -t tmpfs none /mnt && mkdir /mnt/a && mount -t overlay -o lowerdir=/mnt/a:/usr/sbin o /mnt/a"],
        capture_output=True, text=True)
    return f"namespaces do not do here: {tried.stderr.strip()}" if tried.returncode else None


def check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def ip(*words):
    run(["ip", *words], "ip")


class Wire:
    """The networks.  While it is up the calling thread, and who it starts, are on both of them."""

    def __enter__(self):
        self.outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        check(libc.unshare(CLONE_NEWNET))
        ip("link", "set", "lo", "up")
        for name, prefix in NETWORKS.items():
            ip("link", "add", "name", name, "type", "bridge", "forward_delay", "0")
            ip("addr", "add", f"{prefix}.{HARNESS}/24", "dev", name)
            ip("link", "set", name, "up")
        return self

    def __exit__(self, *_):
        check(libc.setns(self.outside, CLONE_NEWNET))
        os.close(self.outside)


class Machine:
    """One machine, `number` on both networks; `private` are folders that it shares with nobody.

    `layers` are folders of ours that lie over the system's: {"/usr/sbin": FOLDER}.
    """

    def __init__(self, name, number, folder, private=(), layers=None, more_addresses=()):
        self.name, self.number, self.folder = name, number, Path(folder)
        self.private = ["/run", "/dev/shm", *map(str, private)]
        self.layers = {path: str(layer) for path, layer in (layers or {}).items()}
        self.more_addresses = more_addresses
        self.popen, self.pid, self.launched = None, None, []
        self.lock = threading.Lock()

    def port(self, network):
        """What its plug is called at the switch."""
        return f"{self.name}-{network}"

    def address(self, network="lan"):
        return f"{NETWORKS[network]}.{self.number}"

    def is_on(self):
        return self.pid is not None

    def power_on(self):
        order = json.dumps({"name": self.name, "private": self.private, "layers": self.layers})
        (self.folder / "log").mkdir(parents=True, exist_ok=True)
        self.popen = subprocess.Popen(
            ["unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--fork", "--kill-child",
             "--mount-proc", sys.executable, __file__, order],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd="/",
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        if self.popen.stdout.readline() != "up\n":
            raise OSError(f"{self.name} does not come up")
        parent = self.popen.pid
        self.pid = int(Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0])
        for index, network in enumerate(NETWORKS):
            ip("link", "add", "name", self.port(network), "type", "veth", "peer", "name", f"eth{index}", "netns", str(self.pid))
            ip("link", "set", self.port(network), "master", network, "up")
            self.run("ip", "addr", "add", f"{self.address(network)}/24", "dev", f"eth{index}")
            self.run("ip", "link", "set", f"eth{index}", "up")
        for number in self.more_addresses:
            self.run("ip", "addr", "add", f"{NETWORKS['lan']}.{number}/24", "dev", "eth0")
        self.run("ip", "link", "set", "lo", "up")

    def power_off(self):
        """At once, and without a word to anybody."""
        self.end(plugs_are_cut=True)

    def crash(self):
        """Everything ends at once, with the goodbyes of a kernel that still runs."""
        self.end(plugs_are_cut=False)

    def end(self, plugs_are_cut):
        with self.lock:
            if not self.is_on():
                return
            if plugs_are_cut:
                for network in NETWORKS:
                    self.unplug(network)
            os.kill(self.pid, signal.SIGKILL)
            # A nsenter stops with what it runs, and then buries nobody.
            for launched in self.launched:
                launched.kill()
                launched.wait()
            self.launched = []
            self.popen.wait()
            self.popen.stdout.close()
            self.pid = None
            for network in NETWORKS:
                subprocess.run(["ip", "link", "del", self.port(network)], capture_output=True)

    def unplug(self, network):
        subprocess.run(["ip", "link", "set", self.port(network), "down"], capture_output=True)

    def plug(self, network):
        ip("link", "set", self.port(network), "up")

    def deafen(self, sender, network="ring"):
        """Nothing from `sender` gets in any more; the way there stays."""
        self.run("nft", "-f", "-", input="table inet deaf {\n chain input {\n type filter hook input priority 0;\n"
                 f"ip saddr {sender.address(network)} drop\n}}\n}}\n")

    def heal(self):
        self.run("nft", "flush", "ruleset")

    def command(self, words):
        """`words` as a command line that runs them in there."""
        return ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-C", "--",
                "env", f"PATH={PATH}", *map(str, words)]

    def run(self, *words, **options):
        return run(self.command(words), f"{words[0]} on {self.name}", **options)

    def launch(self, *words, environment=None):
        """Starts something there that stays; its output goes to log/MACHINE-PROGRAM.log."""
        log_file = self.folder / "log" / f"{self.name}-{Path(words[0]).name}.log"
        with open(log_file, "ab") as log:
            started = subprocess.Popen(self.command(words), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                                       start_new_session=True, env={**os.environ, **(environment or {})})
        self.launched.append(started)
        return started

    # -- what it looks like from inside, read without a process there -------------
    def path(self, path):
        return Path(f"/proc/{self.pid}/root{path}")

    def has_address(self, address):
        return f"|-- {address}\n" in self.read(f"/proc/{self.pid}/net/fib_trie")

    def has_mount(self, folder):
        return f" {folder} " in self.read(f"/proc/{self.pid}/mountinfo")

    def has_process(self, pid_file):
        """Whether the process of a pid file lives there."""
        pid = self.read(self.path(pid_file)).strip()
        state = self.read(self.path(f"/proc/{pid}/stat")).rpartition(")")[2].split() if pid else None
        return bool(state) and state[0] not in "ZX"

    def has_lock(self, file):
        """Whether a process there holds the file's flock(2): one kernel, so all machines' are known."""
        try:
            inode = file.stat().st_ino
            ours = os.readlink(f"/proc/{self.pid}/ns/pid_for_children")
            holders = [line.split()[4] for line in self.read("/proc/locks").splitlines()
                       if " FLOCK " in line and "->" not in line and line.split()[5].endswith(f":{inode}")]
            return any(os.readlink(f"/proc/{pid}/ns/pid") == ours for pid in holders)
        except OSError:
            return False

    @staticmethod
    def read(path):
        try:
            return Path(path).read_text()
        except (OSError, ValueError):
            return ""


class PowerSwitch:
    """Switches machines off for whoever asks on a unix socket: "off NAME", "on NAME", "status NAME"."""

    def __init__(self, path, machines):
        self.machines, self.refuses = machines, False
        self.orders = []
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(str(path))
        self.server.listen(32)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer = self.server.accept()[0]
            except OSError:
                return
            with peer:
                words = peer.recv(200).decode().split()
                peer.sendall(self.obey(*words).encode() if len(words) == 2 else b"what?\n")

    def obey(self, order, name):
        machine = self.machines[name]
        if order == "status":
            return "on\n" if machine.is_on() else "off\n"
        self.orders.append((order, name))
        if self.refuses:
            return "refused\n"
        if order == "off":
            machine.power_off()
        return "done\n"

    def close(self):
        self.server.close()


def main():
    """The first process of a machine: prepares it, and buries the dead."""
    order = json.loads(sys.argv[1])
    socket.sethostname(order["name"])
    for path in order["private"]:
        # Where every user may make what is his.
        mode = "mode=1777" if path.endswith(("/dev/shm", "/state", "/queue")) else "mode=755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", mode, "none", path], check=True)
    for path, layer in order["layers"].items():
        subprocess.run(["mount", "-t", "overlay", "-o", f"lowerdir={layer}:{path}", "none", path], check=True)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    print("up", flush=True)
    sys.stdout.close()
    os.close(1)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            signal.pause()


if __name__ == "__main__":
    main()
