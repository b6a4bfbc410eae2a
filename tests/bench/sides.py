# SPDX-License-Identifier: Apache-2.0
"""The two sides of a bench: Mailstead and a peer in front of the same sink and the same slapd.

CPU is the time on a processor of all processes of a side, in the kernel too, to the nanosecond where they
live and to the tick for their ended children; the machine is shared with the load generator and the sink, so
judge ratios, not figures.
"""
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(TOP / "contrib"))

from cluster import Account, Cluster, Network, Process, TroubleError, wait_until  # noqa: E402,F401
from cluster.accounts import DOMAIN, PEOPLE  # noqa: E402
from cluster.network import can_connect  # noqa: E402
from cluster.process import read_stat, run  # noqa: E402

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
COUNT_PORT = 2999


def tree(pid):
    """`pid` and all its living descendants."""
    parents = {}
    for entry in os.listdir("/proc"):
        fields = read_stat(entry) if entry.isdigit() else None
        if fields:
            parents[int(entry)] = int(fields[1])
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


def running_ns(pid):
    """How long the threads of `pid` that live have run on a processor."""
    total = 0
    for schedstat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(schedstat.read_text().split()[0])
    return total


def cpu_seconds(processes):
    """What the trees of `processes` have used so far; children that ended count at their parent."""
    seconds = 0.0
    for process in processes:
        for pid in tree(process.pid):
            fields = read_stat(pid)
            if fields:
                seconds += running_ns(pid) / 1e9
                seconds += sum(int(field) for field in fields[13:15]) / TICKS_PER_SECOND
    return seconds


def memory_kib(processes):
    """What the trees of `processes` have to themselves, in KiB."""
    kib = 0
    for process in processes:
        for pid in tree(process.pid):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            kib += sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    return kib


def memory_kib_of(pid):
    """What belongs to the process alone, and its share of what it has in common with others."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


class SyncCounter:
    """Counts calls that wait for the disk: strace writes a line for each, and stops no other call."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def counted(self, name, command):
        """The command whose processes are counted under `name`; its pid is the command's own."""
        return ["/usr/bin/strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", f"{self.folder}/{name}.syncs",
                "-e", "trace=fsync,fdatasync,sync_file_range,syncfs,sync,msync", "-e", "signal=none",
                *map(str, command)]

    def count(self, name):
        """How many there were so far; one that another's line cuts in two has two lines."""
        text = (self.folder / f"{name}.syncs").read_text(errors="replace")
        return sum("resumed>" not in line for line in text.splitlines())


class Bench:
    """slapd and a sink for each backend, and what stands in front of them."""

    def __init__(self, build, folder, accounts=None, counts_syncs=False):
        self.build = build
        self.cluster = Cluster(folder, Network.find(), build, backend_tls="off")
        self.cluster.accounts = accounts or self.cluster.accounts
        self.cluster.slapd.maxsize_bytes = (1 << 30) + 4096 * len(self.cluster.accounts)
        self.folder = Path(folder)
        self.sinks = [Process(f"sink-{name}", folder, [
            build / "tests/bench/sink", *(f"{kind}={backend.address}:{port}" for kind, port in (
                ("imap", Network.IMAP), ("pop3", Network.POP3), ("lmtp", Network.LMTP), ("count", COUNT_PORT)))],
            is_ready=lambda address=backend.address: can_connect(address, COUNT_PORT))
            for name, backend in self.cluster.backends.items()]
        self.frontend = self.cluster.frontends["fe1"]
        self.peer_address = self.cluster.network.address(31)
        self.others = []
        self.sync_counter = SyncCounter(folder) if counts_syncs else None
        if counts_syncs:
            self.frontend.process.command = self.sync_counter.counted("mailstead", self.frontend.process.command)

    def start(self, starts_frontend=True):
        self.cluster.create()
        self.level_ramp()
        self.cluster.slapd.start()
        for sink in self.sinks:
            sink.start()
        if starts_frontend:
            self.start_frontend()

    def level_ramp(self):
        """What waited goes out at once when a backend returns, as at the peers: the ramp is for real ones."""
        file = self.frontend.configuration
        file.write_text(file.read_text().replace("health {\n", "health {\n    ramp_s = 0\n"))

    def start_frontend(self):
        self.frontend.start()
        for name in self.cluster.backends:
            account = self.cluster.accounts_of(name)[0]
            wait_until(lambda a=account: self.is_served_by_all(a), f"every worker of mailstead serves {name}", 30)

    def is_served_by_all(self, account):
        """Connections are spread over the workers by chance."""
        return all(self.frontend.serves(account) for _ in range(8))

    def stop(self):
        for process in [*self.others, *self.sinks]:
            process.stop()
        self.cluster.stop()

    def add(self, name, command, is_ready):
        if self.sync_counter:
            command = self.sync_counter.counted(name, command)
        process = Process(name, self.folder, command, is_ready)
        self.others.append(process)
        process.start()
        return process

    def taken(self):
        """How many messages the sinks have taken."""
        count = 0
        for backend in self.cluster.backends.values():
            with socket.create_connection((backend.address, COUNT_PORT), 10) as connection:
                count += int(connection.makefile().read())
        return count

    @contextlib.contextmanager
    def idle_sessions(self, *arguments):
        """Sessions that are logged in and say nothing, while the block runs."""
        process = subprocess.Popen([str(self.build / "tests/bench/load"), "idle", *map(str, arguments)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            yield json.loads(process.stdout.readline())["sessions"]
        finally:
            process.stdin.close()
            process.wait()

    def load(self, *arguments):
        """Runs the load generator; what it says."""
        done = subprocess.run([str(self.build / "tests/bench/load"), *map(str, arguments)], text=True,
                              capture_output=True)
        if done.returncode != 0:
            raise TroubleError(f"load {arguments}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    # -- a peer ----------------------------------------------------------------
    def start_postfix(self):
        """Postfix as an MX whose LDAP map gives the transport of each address."""
        folder = self.folder / "postfix"
        for name in ("etc", "spool", "lib"):
            (folder / name).mkdir(parents=True)
        shutil.chown(folder / "lib", "postfix")
        slapd = self.cluster.slapd
        for name, attribute in (("hosts", "hostServer"), ("mailboxes", "mail")):
            (folder / "etc" / f"{name}.cf").write_text(f"""\
server_host = {slapd.uri}
version = 3
bind = yes
bind_dn = {slapd.dn("mailstead")}
bind_pw = {slapd.secret_file("mailstead").read_text()}
search_base = {PEOPLE}
scope = one
query_filter = (mail=%s)
result_attribute = {attribute}
""")
        transports = ", ".join(f"{{ {name} = lmtp:inet:[{backend.address}]:{Network.LMTP} }}"
                               for name, backend in self.cluster.backends.items())
        (folder / "etc/main.cf").write_text(f"""\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/lib
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
maillog_file_prefixes = {folder}
maillog_file = {folder}/mail.log
myhostname = peer.{DOMAIN}
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
virtual_mailbox_domains = {DOMAIN}
virtual_mailbox_maps = proxy:ldap:{folder}/etc/mailboxes.cf
transport_maps = pipemap:{{ldap:{folder}/etc/hosts.cf, inline:{{ {transports} }}}}
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_client_connection_count_limit = 0
lmtp_destination_concurrency_limit = 50
initial_destination_concurrency = 20
default_process_limit = 300
in_flow_delay = 0s
""")
        shutil.copy("/etc/postfix/master.cf", folder / "etc/master.cf")
        for name in ("dynamicmaps.cf", "postfix-files"):
            if Path("/etc/postfix", name).exists():
                shutil.copy(Path("/etc/postfix", name), folder / "etc" / name)
        dynamic = Path("/etc/postfix/dynamicmaps.cf.d")
        if dynamic.exists():
            shutil.copytree(dynamic, folder / "etc/dynamicmaps.cf.d")
        text = (folder / "etc/master.cf").read_text()
        text = "\n".join(line for line in text.splitlines() if not line.startswith("smtp      inet"))
        (folder / "etc/master.cf").write_text(
            text + f"\n{self.peer_address}:{Network.SMTP} inet n - n - - smtpd\n"
            "postlog unix-dgram n - n - 1 postlogd\n")
        # `postfix start-fg` would put a shell between us and the process that ends it all.
        run(["/usr/sbin/postfix", "-c", folder / "etc", "check"], "postfix check")
        return self.add("postfix", ["/usr/lib/postfix/sbin/master", "-c", folder / "etc", "-s"],
                        lambda: can_connect(self.peer_address, Network.SMTP))


@contextlib.contextmanager
def running_bench(accounts=None, starts_frontend=True, counts_syncs=False):
    """A Bench that runs, with `accounts` or some of its own; its folder is kept when something went wrong."""
    build = Path(os.environ.get("MAILSTEAD_BUILD", "."))
    if not (build / "Makefile").exists():
        sys.exit("MAILSTEAD_BUILD must name the folder that Mailstead was built in")
    build = build.resolve()
    subprocess.run(["make", "-s", "-C", str(build), "bench-programs"], check=True)
    folder = Path(tempfile.mkdtemp(prefix="mb-", dir="/tmp"))
    folder.chmod(0o755)
    bench = Bench(build, folder, accounts, counts_syncs)
    try:
        bench.start(starts_frontend)
        yield bench
    except TroubleError as trouble:
        bench.stop()
        sys.exit(f"{trouble}\nthe logs are in {folder}/log")
    bench.stop()
    shutil.rmtree(folder)
