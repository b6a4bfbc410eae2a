# SPDX-License-Identifier: Apache-2.0
"""Three backends that can take each other over: siblings, one folder with all storages, a fence hook."""
import json
import subprocess
import threading
from concurrent import futures

from cluster import Cluster, clients, wait_until

SIBLINGS = {"sv1": ["sv2", "sv3"], "sv2": ["sv3", "sv1"], "sv3": ["sv1"]}
FENCE = """\
    fence_hook = "{folder}/fence"
    fence_timeout_s = 2
"""
# Whatever it says: the tests end what it is to turn off.
FENCE_HOOK = """\
#!/bin/sh
echo "$MAILSTEAD_ACTION $MAILSTEAD_NODE $MAILSTEAD_ADDRESS" >>{folder}/fence.log
while [ -e {folder}/fence.hangs ]; do sleep 0.05; done
if [ -e {folder}/fence.refuses ]; then echo "no power switch" >&2; exit 1; fi
"""


class OneDirectory(Cluster):
    """Its stores ask the directory that is written to: a replica that syncs each change falls behind."""

    def create(self):
        for backend in self.backends.values():
            backend.dovecot.slapd = self.slapd
        super().create()

    def start_directory(self):
        self.slapd.start()

    def begin(self, *words):
        """The command, under way."""
        return subprocess.Popen(self.frontends["fe1"].admin().command(*words, "--json"), text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def start_nodes(self, *names):
        """They run and follow the directory; what they serve is another question."""
        backends = [self.backends[name] for name in names]
        for backend in backends:
            for process in backend.processes():
                if not process.is_running():
                    process.launch()
        for backend in backends:
            backend.dovecot.process.wait_ready()
            wait_until(lambda b=backend: self.follows(b), f"{backend.name} follows the directory", 30, 0.05)

    @staticmethod
    def follows(backend):
        done = backend.daemon.admin().run("node", "status", "--json")
        return done.returncode == 0 and json.loads(done.stdout)["is_synchronised"]


class FailoverCluster(OneDirectory):
    def __init__(self, folder, network, build, account_count=48, workers=1, siblings=None, **options):
        super().__init__(folder, network, build, account_count=account_count, workers=workers,
                         timeouts={"login_hold_s": 2}, siblings=siblings or SIBLINGS, **options)

    def create(self):
        super().create()
        (self.folder / "fence").write_text(FENCE_HOOK.format(folder=self.folder))
        (self.folder / "fence").chmod(0o755)
        self.set_fence(True)

    def set_fence(self, is_there):
        """Whether the command, which has the configuration of fe1, has a fence hook."""
        fe1 = self.frontends["fe1"]
        fe1.write_configuration()
        if is_there:
            text = fe1.configuration.read_text()
            fe1.configuration.write_text(text.replace("admin {\n", "admin {\n" + FENCE.format(folder=self.folder)))

    # -- what is ordered --------------------------------------------------------
    def order(self, *words):
        return self.frontends["fe1"].admin().run(*words)

    def lines(self, *words, status=0):
        """The lines of JSON that it prints."""
        done = self.order(*words, "--json")
        assert done.returncode == status, f"{done.returncode}: {done.stdout}{done.stderr}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def fence(self, word, is_so=True):
        """fence("refuses"), fence("hangs"): what the hook does from now on."""
        file = self.folder / f"fence.{word}"
        if is_so:
            file.touch()
        else:
            file.unlink(missing_ok=True)

    def fenced(self):
        """What the hook was asked since this was asked last."""
        log = self.folder / "fence.log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.write_text("")
        return lines

    # -- what is so ----------------------------------------------------------------
    def hosts(self):
        """How many accounts there are for each (hostServer, oldHostServer)."""
        counts = {}
        for entry in self.slapd.search("(objectClass=mailsteadAccount)", ("hostServer", "oldHostServer")):
            pair = tuple(entry.get(name, [""])[0] for name in ("hostserver", "oldhostserver"))
            counts[pair] = counts.get(pair, 0) + 1
        return counts

    def node(self, name):
        return self.backends[name].daemon.admin().json("node", "status")[0]


def refuses(cluster, name, account):
    """What the gate of `name` says to a login; empty when it lets the account in."""
    return clients.refusal(cluster.backends[name].daemon, account, tls=clients.trusting(cluster))


class Owners:
    """Who lets an account in, of all gates at the same moment, again and again while this lasts."""

    def __init__(self, cluster, account):
        self.cluster, self.account = cluster, account
        self.samples, self.is_over = [], threading.Event()
        self.thread = threading.Thread(target=self.sample)

    def __enter__(self):
        self.thread.start()
        wait_until(lambda: self.samples, "the first sample", 10)
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()

    def owners(self, pool):
        says = pool.map(lambda name: refuses(self.cluster, name, self.account), self.cluster.backends)
        return [name for name, refusal in zip(self.cluster.backends, says) if not refusal]

    def sample(self):
        with futures.ThreadPoolExecutor(len(self.cluster.backends)) as pool:
            while not self.is_over.is_set():
                owners = self.owners(pool)
                # Logins take a moment: two may have been let in one after the other.
                self.samples.append(owners if len(owners) < 2 else self.owners(pool))
                self.is_over.wait(0.02)

    def wait_for(self, owner):
        wait_until(lambda: self.seen[-1:] == [[owner]], f"{owner} alone lets it in", 20)

    @property
    def seen(self):
        """The samples with owners, each once where several in a row are the same."""
        owned = [sample for sample in self.samples if sample]
        return [sample for sample, before in zip(owned, [None, *owned]) if sample != before]


def kill_at(cluster, phase, *words):
    """Runs it and kills it where that phase is over."""
    process = cluster.begin(*words)
    for line in process.stdout:
        line = json.loads(line)
        if line["event"] == "phase" and line["phase"] == phase:
            break
    process.kill()
    process.communicate()
    return process.returncode
