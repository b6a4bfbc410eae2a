# SPDX-License-Identifier: Apache-2.0
"""Two backends with shared storage: a disk for each server, mounted in a mount namespace of the cluster's own.

The disks are file systems in memory, bound to the folders where Dovecot looks for mail.  All
processes see the same mounts, as two machines do with a cluster file system.  Whatever is mounted
there is gone with the last process.
"""
import os
import re
import subprocess
from pathlib import Path

from cluster import Cluster, wait_until
from cluster.process import Process

STORAGE = """\
storage {{
    kind = "shared"
    directory = "{folder}/storage"
    attach_hook = "{folder}/hook"
    release_hook = "{folder}/hook"
    stop_hook = "{folder}/hook"
    start_hook = "{folder}/hook"
    hook_timeout_s = {hook_timeout_s}
    check_interval_s = 1
    check_timeout_s = 2
    adopt = "{adopt}"
}}
"""

HOOK = """\
#!/bin/sh
echo "$MAILSTEAD_NODE $MAILSTEAD_ORDER $MAILSTEAD_SERVER" >>{folder}/hook.log
while [ -e {folder}/hook.hangs ]; do sleep 0.1; done
"""


def why_not_here():
    """Why no such cluster can be made here; empty when it can."""
    if os.geteuid() != 0:
        return "only root may mount"
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "no mount namespace can be made here"


class StorageCluster(Cluster):
    """sv1 and sv2 with their storages, and one frontend."""

    def __init__(self, folder, network, build):
        super().__init__(folder, network, build, account_count=60, backends=("sv1", "sv2"),
                         frontends=("fe1",), workers=1)
        self.space = Process("mounts", folder, ["unshare", "--mount", "--propagation", "private",
                                                "sh", "-c", f"touch {folder}/space; exec sleep infinity"],
                             is_ready=(self.folder / "space").exists)

    def create(self):
        super().create()
        (self.folder / "hook").write_text(HOOK.format(folder=self.folder))
        (self.folder / "hook").chmod(0o755)
        for name in self.backends:
            self.configure(name)

    def configure(self, name, adopt="order", hook_timeout_s=10):
        self.backends[name].daemon.write_configuration(
            STORAGE.format(folder=self.folder, adopt=adopt, hook_timeout_s=hook_timeout_s))

    def start(self):
        self.space.start()
        for name, backend in self.backends.items():
            (self.folder / "disks" / name).mkdir(parents=True, exist_ok=True)
            self.inside("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", self.folder / "disks" / name)
            self.inside("chown", "mail:mail", self.folder / "disks" / name)
            self.mount(name)
            for process in backend.processes():
                process.command = ["nsenter", f"--mount=/proc/{self.space.pid}/ns/mnt", *process.command]
        super().start()
        for name, backend in self.backends.items():
            backend.daemon.admin().text("storage", "init", name)

    def stop(self):
        stubborn = super().stop()
        self.space.kill()
        return stubborn

    def processes(self):
        return [self.space, *super().processes()]

    # -- what happens to disks ------------------------------------------------
    def inside(self, *words):
        subprocess.run(["nsenter", f"--mount=/proc/{self.space.pid}/ns/mnt", *map(str, words)],
                       check=True, capture_output=True, stdin=subprocess.DEVNULL)

    def place(self, server):
        return self.folder / "storage" / server

    def mount(self, server):
        self.inside("mount", "--bind", self.folder / "disks" / server, self.place(server))

    def unmount(self, server):
        self.inside("umount", "--lazy", self.place(server))

    def make_read_only(self, server):
        """Until it is unmounted once more."""
        self.inside("mount", "--bind", self.folder / "disks" / server, self.place(server))
        self.inside("mount", "-o", "remount,bind,ro", self.place(server))

    # -- what the nodes say -----------------------------------------------------
    def node(self, name):
        return self.backends[name].daemon.admin().json("node", "status")[0]

    def storage(self, name, server):
        rows = [row for row in self.node(name)["storages"] if row["server"] == server]
        return rows[0] if rows else {"state": "unknown", "why": ""}

    def wait_storage(self, name, server, state, why=""):
        wait_until(lambda: self.storage(name, server)["state"] == state and why in self.storage(name, server)["why"],
                   f"the storage of {server} is {state} {why} at {name}", 20, 0.05)

    def order(self, name, *words):
        return self.backends[name].daemon.admin().run(*words)

    def keeper(self, server):
        """The process that holds the storage, as its claim says."""
        done = subprocess.run(["nsenter", f"--mount=/proc/{self.space.pid}/ns/mnt", "cat",
                               self.place(server) / ".mailstead-claim"], check=True, capture_output=True, text=True)
        return int(re.search(r"^pid (\d+)$", done.stdout, re.M).group(1))

    def store_processes(self, name, program):
        """Those of the backend's Dovecot that run this program, for somebody who is logged in."""
        def runs(pid):
            try:
                return Path(f"/proc/{pid}/comm").read_text().strip() == program
            except OSError:
                return False  # it has ended

        return [pid for pid in self.backends[name].dovecot.process.members() if runs(pid)]

    def hooks(self):
        """What was run since this was asked last."""
        log = self.folder / "hook.log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.write_text("")
        return lines
