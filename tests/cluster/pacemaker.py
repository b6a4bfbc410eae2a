# SPDX-License-Identifier: Apache-2.0
"""Three machines under a real corosync and Pacemaker, with contrib/pacemaker/cib.xml; the directory
on a fourth, a frontend on a fifth; and who watches them from outside.

Of the example only values are changed: addresses, paths, the storage (a bind mount of a folder
that all machines have, as they would have a disk) and the fence agent.  The storage is marked,
and the daemon that has it holds its lock, which is one for all machines as on a disk they share.
"""
import shutil
import subprocess
import tempfile
import threading
import time
import xml.etree.ElementTree as xml
from pathlib import Path

from cluster import Cluster, Network, clients, wait_until
from machines import NETWORKS, Machine, PowerSwitch, Wire
from solitary import SOURCE, write_configuration

LAN = f"{NETWORKS['lan']}.0/24"
NODES = {"ha1": 31, "ha2": 32, "ha3": 33}
HOSTS = ("sv1", "sv2")
PARTS = {"address", "storage", "lock", "dovecot", "mailstead"}
STORAGE = """\
storage {{
    kind = "shared"
    directory = "{folder}/storage"
}}
"""
COROSYNC = """\
totem {{
    version: 2
    cluster_name: mail
    transport: knet
    crypto_cipher: none
    crypto_hash: none
    token: 1000
    token_coefficient: 0
    consensus: 1200
}}
nodelist {{
{nodes}}}
quorum {{
    provider: corosync_votequorum
}}
logging {{
    to_stderr: yes
    to_syslog: no
}}
"""


def why_not():
    for program, package in (("corosync", "corosync"), ("pacemakerd", "pacemaker"), ("crm_simulate", "pacemaker-cli-utils"),
                             ("slapd", "slapd"), ("dovecot", "dovecot-core")):
        if not shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin"):
            return f"{program} (package {package}) is not installed"
    if not Path("/usr/lib/ocf/resource.d/heartbeat/IPaddr2").exists():
        return "ocf:heartbeat:IPaddr2 (package resource-agents) is not installed"
    return None


class ManagedCluster:
    """All of it.  To be used in one thread, which is in the wire's network while it is up."""

    def __init__(self, folder, build):
        self.folder = Path(folder)
        self.mail = Cluster(folder, Network(NETWORKS["lan"]), build, account_count=40, backends=HOSTS,
                            frontends=("fe1",), workers=1,
                            timeouts={"login_hold_s": 2, "connect_s": 1})
        self.storages = {host: self.folder / "storage" / host for host in HOSTS}
        self.shared = {host: self.folder / "shared" / host for host in HOSTS}
        self.log = self.folder / "log"
        private = ["/etc/corosync", "/var/lib/corosync", "/var/lib/pacemaker",
                   *(self.folder / host / name for host in HOSTS for name in ("d", "run", "state"))]
        layers = {"/usr/sbin": self.folder / "layers" / "sbin", "/usr/lib/ocf/resource.d": self.folder / "layers" / "ocf"}
        self.nodes = {name: Machine(name, number, folder, private, layers) for name, number in NODES.items()}
        self.ldap = Machine("ldap", 1, folder, more_addresses=(2,))
        self.fe = Machine("fe", 21, folder)
        self.fe1 = self.mail.frontends["fe1"]

    # -- life ----------------------------------------------------------------
    def create(self):
        self.mail.create()
        for host in HOSTS:
            self.shared[host].parent.mkdir(exist_ok=True)
            self.storages[host].rename(self.shared[host])  # with its owner
            self.storages[host].mkdir()
            for name in ("d", "run", "state"):
                (self.folder / host / name).mkdir(exist_ok=True)
            for file in (self.folder / host / "mailstead.conf", self.folder / host / "dovecot" / "dovecot.conf"):
                text = file.read_text().replace("127.0.0.0/8", LAN)
                file.write_text(text.replace("log_path = /dev/stderr", f"log_path = {self.log}/dovecot-{host}.log"))
            with open(self.folder / host / "mailstead.conf", "a") as file:
                file.write(STORAGE.format(folder=self.folder))
        # What ocf:heartbeat:Filesystem asks for and a bind mount does not need.
        (self.folder / "layers" / "sbin").mkdir(parents=True)
        (self.folder / "layers" / "sbin" / "modprobe").symlink_to("/bin/true")
        # The frontend finds in half a second that a backend has come back.
        text = self.fe1.configuration.read_text()
        self.fe1.configuration.write_text(text.replace("probe_interval_ms = 500", "probe_interval_ms = 200"))
        for program, source, target in (("mailstead", SOURCE / "contrib" / "ocf", "ocf/mailstead"),
                                        ("fence_switch", SOURCE / "tests" / "cluster", "sbin")):
            (self.folder / "layers" / target).mkdir(parents=True, exist_ok=True)
            shutil.copy(source / program, self.folder / "layers" / target / program)
        self.log.mkdir(exist_ok=True)
        self.write_cib()
        nodes = "".join(f"    node {{\n        name: {name}\n        nodeid: {number}\n"
                        f"        ring0_addr: {NETWORKS['ring']}.{NODES[name]}\n    }}\n"
                        for number, name in enumerate(NODES, 1))
        (self.folder / "corosync.conf").write_text(COROSYNC.format(nodes=nodes))

    def write_cib(self):
        tree = xml.parse(SOURCE / "contrib" / "pacemaker" / "cib.xml")
        values = {}
        for name in NODES:
            values |= {f"fence-{name}-ip": self.folder / "power.sock", f"fence-{name}-lan": name}
        for host in HOSTS:
            values |= {f"{host}-address-ip": self.mail.backends[host].address,
                       f"{host}-storage-device": self.shared[host], f"{host}-storage-directory": self.storages[host],
                       f"{host}-storage-type": "none",
                       f"{host}-dovecot-config": f"-c {self.folder}/{host}/dovecot/dovecot.conf",
                       f"{host}-dovecot-pid": self.folder / host / "d" / "master.pid"}
        # The first election of a cluster that starts as a whole needs no patience.
        xml.SubElement(tree.find(".//cluster_property_set"), "nvpair", id="option-dc", name="dc-deadtime", value="4s")
        for pair in tree.iter("nvpair"):
            if pair.get("id") in values:
                pair.set("value", str(values.pop(pair.get("id"))))
            if pair.get("name") == "lanplus":
                pair.set("name", "port")
        assert not values, f"the example has no more {list(values)}"
        for primitive in tree.iter("primitive"):
            name, parameters = primitive.get("id"), primitive.find("instance_attributes")
            if primitive.get("type") == "fence_ipmilan":
                primitive.set("type", "fence_switch")
                for pair in list(parameters):
                    if pair.get("name") in ("username", "password_script"):
                        parameters.remove(pair)
            elif name.endswith("-storage"):
                xml.SubElement(parameters, "nvpair", id=f"{name}-options", name="options", value="bind")
            elif name.endswith("-mailstead"):
                self.add_parameters(parameters, name.partition("-")[0])
        tree.write(self.folder / "cib.xml")

    def add_parameters(self, parameters, host):
        build = self.mail.build
        more = {"config": self.folder / host / "mailstead.conf", "run_directory": self.folder / host / "run",
                "daemon": build / "mailstead-backend", "command": build / "mailstead",
                "log": self.log / f"mailstead-backend-{host}.log"}
        for name, value in more.items():
            xml.SubElement(parameters, "nvpair", id=f"{host}-mailstead-{name}", name=name, value=str(value))

    def start(self):
        self.power = PowerSwitch(self.folder / "power.sock", self.nodes)
        self.ldap.power_on()
        self.fe.power_on()
        for machine, process in ((self.ldap, self.mail.slapd.process), (self.ldap, self.mail.replica.process),
                                 (self.fe, self.fe1.process)):
            process.command = machine.command(process.command)
        self.mail.start_directory()
        for node in self.nodes.values():
            self.boot(node)
        self.fe1.launch()
        self.fe1.process.wait_ready()
        self.mark_storages()
        self.wait_serving(40)

    def mark_storages(self):
        """The order of an operator, once for each storage; it is not served before."""
        for host in HOSTS:
            place = wait_until(lambda h=host: self.place(h, PARTS - {"lock"}), f"{host} runs", 40, 0.1)
            done = self.mailstead(self.nodes[place], host, "storage", "init", host)
            assert done.returncode == 0, done.stderr

    def mailstead(self, node, host, *words):
        return subprocess.run(node.command([self.mail.build / "mailstead", "-c",
                                            self.folder / host / "mailstead.conf", *words]),
                              capture_output=True, text=True)

    def boot(self, node):
        node.power_on()
        node.run("sh", "-c", f"cp {self.folder}/corosync.conf /etc/corosync/ && cd /var/lib/pacemaker && "
                 f"mkdir -p blackbox cib cores pengine && cp {self.folder}/cib.xml cib/ && chmod 600 cib/cib.xml && "
                 "chown -R hacluster:haclient . && chmod 750 *")
        node.launch("/usr/sbin/corosync", "-f")
        wait_until(lambda: node.path("/run/corosync.pid").exists() or node.has_address(node.address("ring")),
                   f"corosync runs on {node.name}", 20)
        wait_until(lambda: subprocess.run(node.command(["corosync-cfgtool", "-s"]), capture_output=True).returncode == 0,
                   f"corosync answers on {node.name}", 20, 0.1)
        node.launch("/usr/sbin/pacemakerd", environment={
            "PCMK_logfile": f"{self.log}/pacemaker-{node.name}.log", "PCMK_logfacility": "none"})

    def wait_serving(self, seconds=60):
        for host in HOSTS:
            account = self.mail.accounts_of(host)[-1]
            wait_until(lambda a=account: self.fe1.serves(a), f"{host} is served", seconds, 0.1)

    def stop(self):
        for machine in (*self.nodes.values(), self.fe, self.ldap):
            machine.power_off()
        self.power.close()

    def repair(self):
        """Switches on what is off, puts plugs in, forgets failures, and waits until all is well."""
        for node in self.nodes.values():
            if node.is_on():
                node.heal()
                node.plug("ring")
        for node in self.nodes.values():
            if not node.is_on():
                self.boot(node)
        for name in NODES:
            wait_until(lambda n=name: self.is_done("crm_standby", "--node", n, "-v", "off"), f"{name} is no standby", 60, 0.2)
        wait_until(lambda: self.is_done("crm_resource", "--cleanup"), "failures are forgotten", 60, 0.2)
        self.await_calm()

    # -- who has what --------------------------------------------------------
    def parts(self, node, host):
        """Which of PARTS of a logical host are on a node."""
        if not node.is_on():
            return set()
        run, store = self.folder / host / "run" / "mailstead-backend.pid", self.folder / host / "d" / "master.pid"
        there = {"address": node.has_address(self.mail.backends[host].address),
                 "storage": node.has_mount(self.storages[host]),
                 "lock": node.has_lock(self.shared[host] / ".mailstead-claim"),
                 "dovecot": node.has_process(store), "mailstead": node.has_process(run)}
        return {name for name, is_there in there.items() if is_there}

    def owners(self, host):
        """The names of the nodes that have any part of it."""
        return [name for name, node in self.nodes.items() if self.parts(node, host)]

    def owner(self, host):
        """The node that has all of it, or None."""
        return self.place(host, PARTS)

    def place(self, host, parts):
        """The node that has these parts of it, or None."""
        return next((name for name, node in self.nodes.items() if self.parts(node, host) >= parts), None)

    def crm(self, *words):
        """A command line on any node that runs, with the nodes in mind that do not."""
        node = next(node for node in self.nodes.values() if node.is_on())
        return node.run(*words)

    def is_done(self, *words):
        node = next(node for node in self.nodes.values() if node.is_on())
        return subprocess.run(node.command(words), capture_output=True).returncode == 0

    def await_calm(self, seconds=90):
        """Waits until every node is a member and both hosts are whole somewhere."""
        def calm():
            node = next(node for node in self.nodes.values() if node.is_on())
            done = subprocess.run(node.command(["crm_mon", "-1", "--output-as=xml"]), capture_output=True, text=True)
            if done.returncode != 0:
                return False
            states = [(entry.get("online"), entry.get("unclean"), entry.get("pending"))
                      for entry in xml.fromstring(done.stdout).find("nodes")]
            return (states == [("true", "false", "false")] * len(NODES)
                    and all(self.owner(host) and len(self.owners(host)) == 1 for host in HOSTS))
        wait_until(calm, "the cluster is calm", seconds, 0.3)
        wait_until(lambda: self.is_done("crm_resource", "--wait", "--timeout", "30s"), "nothing is under way", seconds)
        self.wait_serving()


class Watch(threading.Thread):
    """Looks every 50 ms who has a part of a logical host; `doubles` are the moments with two."""

    def __init__(self, cluster, host):
        super().__init__(daemon=True)
        self.cluster, self.host = cluster, host
        self.doubles, self.samples, self.longest_gap_s = [], 0, 0
        self.ending = threading.Event()
        self.start()

    def run(self):
        last = time.monotonic()
        while not self.ending.wait(0.05):
            owners = self.cluster.owners(self.host)
            now = time.monotonic()
            self.longest_gap_s, last = max(self.longest_gap_s, now - last), now
            self.samples += 1
            if len(owners) > 1:
                self.doubles.append((now, {name: self.cluster.parts(self.cluster.nodes[name], self.host)
                                           for name in owners}))

    def end(self):
        self.ending.set()
        self.join()


class Traffic:
    """Clients that send and log in all the time, through the frontend, to accounts of one host."""

    def __init__(self, cluster, host):
        self.server, self.accounts = cluster.fe1, cluster.mail.accounts_of(host)[:8]
        self.taken, self.logins, self.ending = [], [], threading.Event()
        self.trying_since = None  # when the login that is under way began
        self.mark = time.time_ns()
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self.send, self.log_in)]
        for thread in self.threads:
            thread.start()

    def send(self):
        number = 0
        while not self.ending.wait(0.05):
            account = self.accounts[number % len(self.accounts)]
            subject = f"{self.mark}-{number}"
            number += 1
            try:
                clients.send(self.server, [account.address], clients.make_message(subject, [account.address]))
                self.taken.append((account, subject))
            except OSError:
                pass  # not taken: whoever sends it tries again

    def log_in(self):
        while not self.ending.wait(0.05):
            began = self.trying_since = time.monotonic()
            if clients.refusal(self.server, self.accounts[0]) == "":
                self.logins.append((began, time.monotonic()))

    def end(self):
        self.ending.set()
        for thread in self.threads:
            thread.join()

    def first_login_after(self, moment):
        return next((done for began, done in list(self.logins) if began >= moment), None)

    def missing(self):
        """The messages that were taken and are not there."""
        there = {account.address: clients.subjects(clients.read_by_imap(self.server, account))
                 for account in self.accounts}
        return [subject for account, subject in self.taken if subject not in there[account.address]]


def arrival_after(cluster, account, subject, moment, seconds=30):
    """Sends one message and waits until it can be read; the seconds from `moment` on."""
    clients.send(cluster.fe1, [account.address], clients.make_message(subject, [account.address]))

    def is_there():
        try:
            return subject in clients.subjects(clients.read_by_imap(cluster.fe1, account))
        except clients.REFUSALS:
            return False

    wait_until(is_there, f"{subject} arrives", seconds, 0.05)
    return time.monotonic() - moment


def make_folder():
    """Short, since unix sockets have short names, and open to the users of daemons."""
    folder = Path(tempfile.mkdtemp(prefix="ms-ha-", dir="/tmp"))
    folder.chmod(0o755)
    return folder


def solitary_parameters(folder, build):
    """Those of a resource that needs nobody else."""
    write_configuration(folder)
    return {"program": "backend", "config": folder / "mailstead.conf", "run_directory": folder / "run",
            "log": folder / "log", "daemon": build / "mailstead-backend", "command": build / "mailstead"}


def in_the_wire(folder, build):
    """The running cluster, as a generator for a fixture."""
    cluster = ManagedCluster(folder, build)
    with Wire():
        cluster.create()
        try:
            cluster.start()
            cluster.await_calm()
            yield cluster
        finally:
            cluster.stop()
