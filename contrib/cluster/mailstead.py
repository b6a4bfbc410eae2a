# SPDX-License-Identifier: Apache-2.0
"""Our own programs: their configuration files, the daemons, and the administrator's command."""
import json
import os
import re
import subprocess

from . import clients
from .accounts import BACKENDS, DOMAIN, PEOPLE
from .network import Network, greets
from .process import Process, TroubleError, wait_until

CLUSTER = """\
cluster {{
    hostname = "{hostname}"
    domains  = {{ "{domain}" }}
{members}}}
directory {{
    uri  = {{ "{uri}" }}
    base = "{base}"
    bind_dn = "{reader}"
    bind_password_file = "{reader_secret}"
    filter = "(objectClass=mailsteadAccount)"
    address_attributes = {{ "mail" }}
    login_attributes = {{ "uid", "mail" }}
{directory_more}}}
admin {{
    write_uri = "{uri}"
    bind_dn = "{writer}"
    bind_password_file = "{writer_secret}"
    client_certificate = "{operator}"
    client_key = "{operator_key}"
    node_ca = "{ca}"
}}
tls {{
    certificate = "{certificate}"
    key = "{key}"
}}
admin_port {{
    address = "{address}:{admin_port}"
    certificate = "{certificate}"
    key = "{key}"
    client_ca = "{admin_ca}"
    read = {{ "reader" }}
    operate = {{ "operator" }}
}}
user = "{user}"
workers = {workers}
state_directory = "{state}"
run_directory = "{run}"
"""

FRONTEND = """\
backend_tls {{
    transport = "{backend_tls}"
    verify = true
    ca = "{ca}"
    name = "%b.{domain}"
}}
queue {{
    directory = "{queue}"
    retry_min_s = 1
    retry_max_s = 5
    unknown_delay_s = 5
}}
health {{
    probe_interval_ms = 500
}}
timeouts {{
{timeouts}}}
"""

BACKEND = """\
node {{
    name = "{name}"
    lmtp_store = "{lmtp_store}"
    imap_store = "{imap_store}"
    pop3_store = "{address}:{ports.STORE_POP3}"
    sieve_store = "{address}:{ports.STORE_SIEVE}"
    frontends = {{ "127.0.0.0/8" }}
}}
"""

REPLICA = """\
replica {{
    doveadm = "{address}:{ports.STORE_DOVEADM}"
    password_file = "{secret}"
    state_dict = "fs:posix:prefix={states}/"
{more}}}
backend_tls {{
    ca = "{ca}"
}}
"""

SHARED_STORAGE = """\
storage {{
    kind = "shared"
    directory = "{folder}/storage"
    require_mount = "off"
    check_interval_s = 1
}}
"""

LISTENER = """\
listen "{name}" {{
    protocol = "{protocol}"
    address = "{address}:{port}"
    tls = "{tls}"
{more}}}
"""


class Daemon:
    """What both daemons share: a folder, a configuration file, a process, a control socket."""

    program = None  # the name of the program

    def __init__(self, name, cluster, address):
        self.name, self.cluster, self.address = name, cluster, address
        self.folder = cluster.folder / name
        self.run_folder = self.folder / "run"
        self.state_folder = self.folder / "state"
        self.configuration = self.folder / "mailstead.conf"
        self.control_socket = self.run_folder / "control.sock"
        self.process = Process(f"{self.program}-{name}", cluster.folder,
                               [cluster.build / self.program, "-c", self.configuration],
                               is_ready=self.is_ready, environment=SANITIZERS)

    def create(self, more=""):
        """Writes the configuration; `more` is added at its end."""
        self.folder.mkdir(exist_ok=True)
        self.write_configuration(more)

    def write_configuration(self, more=""):
        cluster = self.cluster
        self.configuration.write_text(CLUSTER.format(
            hostname=self.hostname(), domain=DOMAIN, members=cluster.members_text(),
            uri=cluster.slapd.uri, base=PEOPLE, reader=cluster.slapd.dn("mailstead"),
            reader_secret=cluster.slapd.secret_file("mailstead"), directory_more=self.directory_text(),
            writer=cluster.slapd.dn("mailstead-admin"),
            writer_secret=cluster.slapd.secret_file("mailstead-admin"),
            certificate=cluster.certificates.certificate(self.name),
            key=cluster.certificates.key(self.name), address=self.address, admin_port=Network.ADMIN,
            admin_ca=cluster.certificates.admin_ca, ca=cluster.certificates.ca,
            operator=cluster.certificates.certificate("operator"),
            operator_key=cluster.certificates.key("operator"),
            user="nobody" if os.getuid() == 0 else "", workers=cluster.workers,
            state=self.state_folder, run=self.run_folder) + self.own_text() + more)

    def directory_text(self):
        """More options of the section `directory`."""
        return ""

    def listener(self, name, protocol, port, tls, more=""):
        return LISTENER.format(name=name, protocol=protocol, address=self.address, port=port,
                               tls=tls, more=more)

    def knows_commands(self):
        """True when its processes have told which commands they answer."""
        return "no running process has it" not in self.admin().run("mirror", "status").stderr

    def launch(self):
        self.process.launch()

    def start(self):
        self.process.start()

    def stop(self):
        return self.process.stop()

    def kill(self):
        self.process.kill()

    def children(self, role):
        """The ids of its living processes of this role, as its log names them.

        Ids are used again: one counts as what it was started as last, by the daemon that runs now.
        """
        log = self.process.log_file.read_text(errors="replace").rpartition(" event=started ")[2]
        roles = {int(pid): started for started, pid in
                 re.findall(r"event=child_started role=(\S+) number=\d+ pid=(\d+)", log)}
        living = self.process.members()
        return [pid for pid, started in roles.items() if started == role and pid in living]

    def log(self):
        return self.process.log_file.read_text(errors="replace")

    def events(self, *words):
        """The lines of its log that have all of these words."""
        return [line for line in self.log().splitlines() if all(word in line for word in words)]

    def await_event(self, *words, seconds=10):
        """The same lines, once there is one: what a process logs may come after what it answers."""
        return wait_until(lambda: self.events(*words), f"{self.name} tells {words}", seconds)

    def admin(self):
        return Admin(self)

    def admin_of_all(self):
        """The command as it is for the whole cluster."""
        return Admin(self, is_local=False)


class FrontendDaemon(Daemon):
    """A frontend: SMTP, IMAP and POP3, plain with STARTTLS and with implicit TLS."""

    program = "mailstead-frontend"

    def hostname(self):
        return f"{self.name}.{DOMAIN}"

    def is_ready(self):
        return (greets(self.address, Network.SMTP, b"220") and greets(self.address, Network.IMAP, b"* OK")
                and greets(self.address, Network.POP3, b"+OK") and self.knows_commands())

    def directory_text(self):
        """Backends come from the directory, too, where it is verified who they are."""
        return "" if self.cluster.backend_tls == "off" else f'    backend_base = "{BACKENDS}"\n'

    def own_text(self):
        user = f'    default_domain = "{DOMAIN}"\n'
        login = user + "    plaintext_allowed = true\n"
        timeouts = "".join(f"    {name} = {value}\n" for name, value in self.cluster.timeouts.items())
        return FRONTEND.format(queue=self.queue_folder(), backend_tls=self.cluster.backend_tls,
                               ca=self.cluster.certificates.ca, domain=DOMAIN, timeouts=timeouts) + "".join([
            self.listener("mx", "smtp", Network.SMTP, "starttls"),
            self.listener("submission", "submission", Network.SUBMISSION, "starttls", user),
            self.listener("submissions", "submission", Network.SUBMISSIONS, "implicit", user),
            self.listener("imap", "imap", Network.IMAP, "starttls", login),
            self.listener("imaps", "imap", Network.IMAPS, "implicit", login),
            self.listener("pop3", "pop3", Network.POP3, "starttls", login),
            self.listener("pop3s", "pop3", Network.POP3S, "implicit", login),
            self.listener("sieve", "sieve", Network.SIEVE, "starttls", login)])

    def serves(self, account):
        """True when `account` can log in here."""
        return clients.refusal(self, account) == ""

    def sees_up(self, host):
        """True when it knows the backend to be up in each protocol."""
        backends = {backend["backend"]: backend for backend in self.admin().json("status")[0]["backends"]}
        return host in backends and all(backends[host][protocol]["state"] == "up"
                                        for protocol in ("lmtp", "imap", "pop3", "sieve"))

    def queue_folder(self):
        return self.folder / "queue"


class BackendDaemon(Daemon):
    """The gate in front of one backend's Dovecot."""

    program = "mailstead-backend"

    def __init__(self, name, cluster, address, store=None):
        super().__init__(name, cluster, address)
        self.store = store  # the Dovecot behind it
        self.store_sockets = None  # a folder: it is reached by unix sockets in there for IMAP and LMTP

    def hostname(self):
        return f"{self.name}.{DOMAIN}"

    def is_ready(self):
        return (greets(self.address, Network.LMTP, b"220") and greets(self.address, Network.IMAP, b"* OK")
                and greets(self.address, Network.POP3, b"+OK") and self.knows_commands())

    def own_text(self):
        login = "    plaintext_allowed = true\n" if self.cluster.backend_tls == "off" else ""
        folder = self.store_sockets
        lmtp, imap = ((f"unix:{folder}/lmtp", f"unix:{folder}/imap") if folder else
                      (f"{self.address}:{port}" for port in (Network.STORE_LMTP, Network.STORE_IMAP)))
        return BACKEND.format(name=self.name, address=self.address, ports=Network, lmtp_store=lmtp,
                              imap_store=imap) + self.replica_text() + "".join([
            self.store.section() if self.store else "",
            SHARED_STORAGE.format(folder=self.cluster.folder) if self.cluster.siblings else "",
            self.listener("lmtp", "lmtp", Network.LMTP, "starttls"),
            self.listener("imap", "imap", Network.IMAP, "starttls", login),
            self.listener("pop3", "pop3", Network.POP3, "starttls", login),
            self.listener("sieve", "sieve", Network.SIEVE, "starttls", login)])

    def replica_text(self):
        if self.cluster.replicas is None:
            return ""
        return REPLICA.format(address=self.address, ports=Network, secret=self.store.doveadm_secret(),
                              states=self.cluster.folder / "told", more=self.cluster.replicas,
                              ca=self.cluster.certificates.ca)


class Admin:
    """The `mailstead` command with the configuration of one daemon, speaking with that one alone."""

    FOR_ALL = ("status", "who", "kick", "block")  # the commands that ask all nodes without --local

    def __init__(self, daemon, is_local=True):
        self.daemon, self.is_local = daemon, is_local

    def command(self, *arguments):
        local = ["--local"] if self.is_local and arguments and arguments[0] in self.FOR_ALL else []
        return [str(self.daemon.cluster.build / "mailstead"), "-c", str(self.daemon.configuration),
                *map(str, arguments), *local]

    def run(self, *arguments, seconds=60):
        """Runs it to its end whatever its status; the CompletedProcess."""
        return subprocess.run(self.command(*arguments), text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=seconds, env={**os.environ, **SANITIZERS})

    def text(self, *arguments):
        """What it prints; TroubleError when it fails."""
        done = self.run(*arguments)
        if done.returncode != 0:
            raise TroubleError(f"mailstead {' '.join(map(str, arguments))} failed "
                               f"({done.returncode}):\n{done.stdout}{done.stderr}")
        return done.stdout

    def json(self, *arguments):
        """Its answer with --json: a list of the objects that it prints, one a line or one in all."""
        return parse_json_texts(self.text(*arguments, "--json"))

    def owner(self, account):
        """The backend whose account it is by this daemon's mirror; once it is told here, each worker goes by it."""
        return next(line.get("host") for line in self.json("lookup", account.address) if "outcome" in line)

    def queued(self, *accounts):
        """How many recipients wait in the frontend's queue; with `accounts`, of those alone."""
        waiting = [recipient["address"].lower() for message in self.json("queue", "list")
                   for recipient in message["recipients"]]
        return sum(not accounts or any(address == account.address for account in accounts)
                   for address in waiting)


def parse_json_texts(text):
    decoder, position, values = json.JSONDecoder(), 0, []
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        value, position = decoder.raw_decode(text, position)
        values += value if isinstance(value, list) else [value]
    return values


# What a sanitised build says goes to the log with everything else; the tests look for it there.
SANITIZERS = {"ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:halt_on_error=1",
              "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"}
