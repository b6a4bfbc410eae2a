# SPDX-License-Identifier: Apache-2.0
"""An administrator's desk: a slapd of its own, a configuration, and the `mailstead` command.

No daemon runs and no backend answers.  Accounts are userN, with an address in example.org, or in
example.net when N is a multiple of ten.
"""
import json
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

from cluster import Network, TroubleError, wait_until
from cluster.accounts import PEOPLE, SUFFIX
from cluster.mailstead import SANITIZERS, parse_json_texts
from cluster.network import can_connect
from cluster.process import Process, run
from cluster.slapd import MODULES, SCHEMAS, parse_entry

SCHEMA = Path(__file__).resolve().parents[2] / "contrib" / "mailstead.schema"
SECRET = "secret"
ROOT = f"cn=root,{SUFFIX}"
WRITER = f"cn=writer,{SUFFIX}"
READER = f"cn=reader,{SUFFIX}"

SLAPD = """\
include {schemas}/core.schema
include {schemas}/cosine.schema
include {schemas}/inetorgperson.schema
include {schema}
modulepath {modules}
moduleload back_mdb
moduleload syncprov
pidfile {folder}/slapd.pid
sizelimit unlimited
{more_global}
database mdb
suffix "{suffix}"
rootdn "{root}"
rootpw {secret}
directory {folder}/data
maxsize 268435456
dbnosync
index objectClass,entryUUID,entryCSN eq
index uid,mail,hostServer,oldHostServer eq
access to attrs=userPassword
  by anonymous auth
  by * none
{access}
access to attrs=hostServer,oldHostServer
  by dn.exact="{writer}" write
  by * read
access to *
  by * read
{more}
"""

MAILSTEAD = """\
cluster {{
    hostname = "desk.example.org"
    domains = {{ "example.org", "example.net" }}
{backends}}}
directory {{
    uri = {{ "{uri}" }}
    base = "{base}"
    filter = "(objectClass=mailsteadAccount)"
}}
admin {{
    write_uri = "{uri}"
    bind_dn = "{bind_dn}"
    bind_password_file = "{secret_file}"
{more_admin}}}
tls {{
}}
state_directory = "{folder}/state"
run_directory = "{folder}/run"
user = ""
"""


def account_ldif(number, host, old_host=None, extra=""):
    domain = "example.net" if number % 10 == 0 else "example.org"
    return (f"dn: uid=user{number},{PEOPLE}\nobjectClass: inetOrgPerson\nobjectClass: mailsteadAccount\n"
            f"uid: user{number}\ncn: user{number}\nsn: {number}\nmail: user{number}@{domain}\n"
            + (f"hostServer: {host}\n" if host else "") + (f"oldHostServer: {old_host}\n" if old_host else "")
            + extra + "\n")


def identity_ldif(dn):
    return (f"dn: {dn}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
            f"cn: {dn.split(',')[0][3:]}\nuserPassword: {SECRET}\n\n")


class Desk:
    """`ldif` is loaded, None leaves the directory without any entry; `more` is added to the database's
    configuration, `more_global` before it, and `access` before its rules of access."""

    def __init__(self, folder, build, ldif="", more="", more_global="", name="slapd", port=Network.LDAP,
                 backends=("sv1", "sv2", "sv3"), network=None, access=""):
        self.folder, self.build = Path(folder), Path(build)
        self.network = network or Network.find()
        self.address, self.port = self.network.address(1), port
        self.uri = f"ldap://{self.address}:{self.port}"
        self.server = self.folder / name
        self.configuration = self.folder / "mailstead.conf"
        self.journals = self.folder / "state" / "journal"
        self.backends = backends
        self.create_slapd(ldif, more, more_global, name, access)
        self.configure()
        self.start()

    def create_slapd(self, ldif, more, more_global, name, access):
        (self.server / "data").mkdir(parents=True)
        (self.folder / "state").mkdir(exist_ok=True)
        # A copy: where a profile confines the program at its usual path, it may not read this folder.
        program, file = self.server / "slapd", self.server / "slapd.conf"
        shutil.copy("/usr/sbin/slapd", program)
        file.write_text(SLAPD.format(schemas=SCHEMAS, schema=SCHEMA, modules=MODULES, folder=self.server,
                                     suffix=SUFFIX, root=ROOT, secret=SECRET, writer=WRITER, more=more,
                                     more_global=more_global, access=access))
        base = (f"dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n\n"
                f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n\n")
        if ldif is not None:
            run([program, "-Tadd", "-q", "-w", "-f", file], "loading the accounts",
                input=base + identity_ldif(WRITER) + identity_ldif(READER) + ldif)
        self.slapd = Process(name, self.folder, [program, "-d", "0", "-f", file, "-h", self.uri],
                             is_ready=lambda: can_connect(self.address, self.port))

    def configure(self, uri=None, bind_dn=WRITER, more_admin=""):
        """Writes the configuration anew; `uri`: of another server than our slapd."""
        secret = self.folder / "ldap.secret"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        backends = "".join(f'    backend "{name}" {{ address = "{self.backend_address(name)}" '
                           f"lmtp_port = {Network.LMTP} imap_port = {Network.IMAP} pop3_port = {Network.POP3} }}\n"
                           for name in self.backends)
        self.configuration.write_text(MAILSTEAD.format(
            backends=backends, uri=uri or self.uri, base=PEOPLE, bind_dn=bind_dn, secret_file=secret,
            more_admin=more_admin, folder=self.folder))

    def backend_address(self, name):
        return self.network.address(11 + self.backends.index(name))

    def start(self):
        self.slapd.start()

    def stop(self):
        self.slapd.stop()

    # -- the command -----------------------------------------------------------
    def command(self, *words):
        return [str(self.build / "mailstead"), "-c", str(self.configuration), *map(str, words)]

    def run(self, *words, seconds=60, **more):
        """Runs it to its end whatever its status."""
        return subprocess.run(self.command(*words), text=True, capture_output=True, stdin=subprocess.DEVNULL,
                              timeout=seconds, env={**os.environ, **SANITIZERS}, **more)

    def launch(self, *words):
        """Starts it; `communicate` of what comes back gives its output."""
        return subprocess.Popen(self.command(*words), text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env={**os.environ, **SANITIZERS})

    # -- the directory -----------------------------------------------------------
    def tool(self, program, *arguments, ldif=None):
        return run([program, "-x", "-H", self.uri, "-D", ROOT, "-w", SECRET, *arguments], program,
                   **({"input": ldif} if ldif is not None else {}))

    def modify(self, ldif):
        return self.tool("ldapmodify", ldif=ldif)

    def search(self, filter_text, *attributes):
        text = self.tool("ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-M", "-b", PEOPLE, filter_text, *attributes)
        return [entry for entry in map(parse_entry, text.split("\n\n")) if entry]

    def hosts(self):
        """{uid: (hosts, old hosts)} of all accounts."""
        return {entry["uid"][0]: (entry.get("hostserver", []), entry.get("oldhostserver", []))
                for entry in self.search("(objectClass=mailsteadAccount)", "uid", "hostServer", "oldHostServer")}

    def settled_hosts(self):
        """The same once the server has done what was under way.  OpenLDAP 2.5 may fall over a
        connection that ends in a transaction: then it is started again."""
        seen = []

        def is_same():
            try:
                seen.append(self.hosts())
            except TroubleError:
                if not self.slapd.is_running():
                    self.start()
                seen.clear()
            return len(seen) > 1 and seen[-1] == seen[-2]

        wait_until(is_same, "the directory rests", 30, 0.2)
        return seen[-1]

    def count(self, filter_text):
        return len(self.search(filter_text, "uid"))

    # -- journals -----------------------------------------------------------------
    def journal_files(self):
        """The journals, the newest last."""
        files = self.journals.glob("*.jsonl") if self.journals.is_dir() else []
        return sorted(files, key=lambda file: file.stat().st_mtime_ns)


def result_of(done):
    """The result of a run with --json."""
    return next(line for line in parse_json_texts(done.stdout) if line.get("event") == "result")


class Journal:
    """One journal: its head, its end, and {uid: (host, old_host, fate)}, where `host` and
    `old_host` are the values before and after."""

    def __init__(self, file):
        whole, _, _ = Path(file).read_text().rpartition("\n")  # a killed run may leave half a line behind
        lines = [json.loads(line) for line in whole.splitlines()]
        self.head = lines[0]
        self.end = lines[-1] if lines[-1]["event"] == "end" else None
        intended = [line for line in lines if line["event"] == "intended"]
        fates = {}
        for line in lines:
            if "entries" in line:
                first, last = line["entries"]
                for number in range(first, last + 1):
                    assert number not in fates
                    fates[number] = line["event"]
        assert [line["entry"] for line in intended] == list(range(1, len(intended) + 1))
        self.entries = {line["dn"].split(",")[0][4:]: (line["host"], line["old_host"], fates.get(line["entry"]))
                        for line in intended}

    def assert_true_of(self, before, after):
        """What changed from `before` to `after` (Desk.hosts) is in it, and what is done in it is so."""
        for uid, (hosts, old_hosts) in after.items():
            if uid not in self.entries:
                assert before[uid] == (hosts, old_hosts), f"{uid} changed without a line"
                continue
            host, old_host, fate = self.entries[uid]
            was, becomes = [([host[i]] if host[i] else [], [old_host[i]] if old_host[i] else []) for i in (0, 1)]
            assert before[uid] == was
            expected = {"done": [becomes], "not done": [was]}.get(fate, [was, becomes])
            assert (hosts, old_hosts) in expected, f"{uid} is {fate} and has {hosts} {old_hosts}"


class Proxy:
    """Between the command and slapd.  Each piece that the command sends is shown to
    `judge(sent)`, which gets all of that connection: "cut" ends it before that piece, "mute" after
    it and before any answer to it, anything else lets it pass.
    """

    def __init__(self, target, address, judge):
        self.target, self.judge = target, judge
        self.listener = socket.create_server((address, 0))
        self.uri = "ldap://{}:{}".format(*self.listener.getsockname())
        self.sockets = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            try:
                server = socket.create_connection(self.target)
            except OSError:  # it has died
                client.close()
                continue
            self.sockets += [client, server]
            muted = threading.Event()
            threading.Thread(target=self.pump_requests, args=(client, server, muted), daemon=True).start()
            threading.Thread(target=self.pump_answers, args=(server, client, muted), daemon=True).start()

    def pump_requests(self, client, server, muted):
        sent = b""
        try:
            while data := client.recv(65536):
                sent += data
                verdict = self.judge(sent)
                if verdict == "cut":
                    break
                if verdict == "mute":
                    muted.set()
                server.sendall(data)
        except OSError:
            pass
        hang_up(client, server)

    def pump_answers(self, server, client, muted):
        try:
            while data := server.recv(65536):
                if muted.is_set():
                    break
                client.sendall(data)
        except OSError:
            pass
        hang_up(client, server)

    def close(self):
        hang_up(self.listener)
        for end in [self.listener, *self.sockets]:
            end.close()


def hang_up(*sockets):
    for end in sockets:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def wait_for_journal(desk, lines=2):
    """Waits until a run has written that many lines in its journal, which is returned."""
    def journal():
        files = desk.journal_files()
        return files and len(files[-1].read_text().splitlines()) >= lines and files[-1]
    return wait_until(journal, "a run writes its journal", 20, 0.005)
