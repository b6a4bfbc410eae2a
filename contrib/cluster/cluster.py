# SPDX-License-Identifier: Apache-2.0
"""The whole cluster: slapd and its replica, backends (each a Dovecot and a mailstead-backend), frontends."""
from pathlib import Path

from .accounts import DOMAIN, make_accounts
from .certificates import Certificates
from .dovecot import Dovecot
from .mailstead import BackendDaemon, FrontendDaemon
from .network import Network
from .process import TroubleError, stop_all
from .slapd import Slapd

SOURCE = Path(__file__).resolve().parents[2]
LONGEST_FOLDER = 60  # the name of a unix socket may have 107 bytes


class Backend:
    """One backend: its store and the gate in front of it, which live and die together."""

    def __init__(self, name, cluster, address):
        self.name, self.address = name, address
        self.dovecot = Dovecot(name, cluster.folder, address, cluster.replica, cluster.certificates,
                               cluster.replicas is not None)
        self.daemon = BackendDaemon(name, cluster, address, self.dovecot)

    def create(self):
        self.daemon.create()
        self.dovecot.create(self.daemon.admin())

    def launch(self):
        self.dovecot.process.launch()
        self.daemon.launch()

    def wait_ready(self):
        self.dovecot.process.wait_ready()
        self.daemon.process.wait_ready()

    def start(self):
        self.launch()
        self.wait_ready()

    def stop(self):
        self.daemon.stop()
        self.dovecot.stop()

    def kill(self):
        """As if the machine lost its power: kill -9 of all that runs there."""
        self.daemon.kill()
        self.dovecot.kill()

    def processes(self):
        return [self.dovecot.process, self.daemon.process]


class Cluster:
    """A cluster in `folder`, made of the programs in `build`.

    `network` is the loopback network of its own, `backend_tls` how frontends speak to
    backends: "off" or "starttls".  `spare` is the name of one more backend, which runs and
    is in nobody's configuration.  With `replicas` each backend has a storage of its own, and copies
    its accounts to the next one; the text is more of that section.  With `siblings`, {backend:
    [who takes it over, in order]}, they attach their storages, folders that all of them see.
    """

    def __init__(self, folder, network, build, account_count=1000, backends=("sv1", "sv2", "sv3"),
                 frontends=("fe1", "fe2"), workers=2, backend_tls="starttls", timeouts=None,
                 spare=None, replicas=None, siblings=None):
        self.folder, self.network, self.build = Path(folder), network, Path(build)
        if len(str(self.folder)) > LONGEST_FOLDER:
            raise TroubleError(f"the folder's name is too long for unix sockets: {self.folder} "
                               f"(at most {LONGEST_FOLDER} bytes)")
        self.workers, self.backend_tls, self.replicas = workers, backend_tls, replicas
        self.siblings = siblings or {}
        self.timeouts = timeouts or {"login_hold_s": 2}  # of the frontends
        self.certificates = Certificates(self.folder)
        self.slapd = Slapd(self.folder, network.address(1), self.certificates,
                           SOURCE / "contrib" / "mailstead.schema")
        self.replica = Slapd(self.folder, network.address(2), self.certificates, self.slapd.schema,
                             "slapd-replica", self.slapd)
        self.backends = {name: Backend(name, self, network.address(10 + number))
                         for number, name in enumerate(backends, 1)}
        self.spare = Backend(spare, self, network.address(10)) if spare else None
        self.frontends = {name: FrontendDaemon(name, self, network.address(20 + number))
                          for number, name in enumerate(frontends, 1)}
        self.accounts = make_accounts(account_count, list(self.backends))

    def members_text(self):
        """The backends and frontends as they stand in each configuration."""
        lines = [f'    backend "{name}" {{ address = "{backend.address}" lmtp_port = {Network.LMTP} '
                 f'imap_port = {Network.IMAP} pop3_port = {Network.POP3} sieve_port = {Network.SIEVE} '
                 f'admin_port = {Network.ADMIN} {self.siblings_text(name)}}}\n'
                 for name, backend in self.backends.items()]
        lines += [f'    frontend "{name}" {{ address = "{frontend.address}" '
                  f'admin_port = {Network.ADMIN} control_socket = "{frontend.control_socket}" }}\n'
                  for name, frontend in self.frontends.items()]
        return "".join(lines)

    def siblings_text(self, name):
        """With copies, the next one has them."""
        names, more = list(self.backends), ""
        siblings = self.siblings.get(name)
        if self.replicas is not None:
            siblings = [names[(names.index(name) + 1) % len(names)]]
            more = f"doveadm_port = {Network.STORE_DOVEADM} "
        return f'siblings = {{ {", ".join(siblings)} }} {more}' if siblings else ""

    def all_backends(self):
        return [*self.backends.values(), *([self.spare] if self.spare else [])]

    def accounts_of(self, host):
        """The accounts that belong to `host` at the start."""
        return [account for account in self.accounts if account.host == host]

    # -- life ----------------------------------------------------------------
    def create(self):
        """Makes all files; the folder must have none of them yet."""
        self.certificates.create({
            "ldap": [f"ldap.{DOMAIN}", self.slapd.address, self.replica.address],
            **{backend.name: [f"{backend.name}.{DOMAIN}", backend.address] for backend in self.all_backends()},
            **{name: [f"mail.{DOMAIN}", f"{name}.{DOMAIN}", frontend.address]
               for name, frontend in self.frontends.items()}})
        self.slapd.create(self.accounts)
        self.replica.create()
        for member in [*self.all_backends(), *self.frontends.values()]:
            member.create()

    def start(self):
        """Starts everything and waits until it serves."""
        self.start_directory()
        for member in [*self.all_backends(), *self.frontends.values()]:
            member.launch()
        for backend in self.all_backends():
            backend.wait_ready()
        for frontend in self.frontends.values():
            frontend.process.wait_ready()
        for name, backend in self.backends.items():
            if self.siblings:  # its marker, which is made once
                backend.daemon.admin().text("storage", "init", name)

    def start_directory(self):
        self.slapd.start()
        self.replica.start()
        self.replica.wait_for_provider()

    def processes(self):
        """All of them, in the order in which they are started."""
        return ([self.slapd.process, self.replica.process]
                + [process for backend in self.all_backends() for process in backend.processes()]
                + [frontend.process for frontend in self.frontends.values()])

    def stop(self):
        """Ends everything; the names of those that had to be killed."""
        stores = [backend.dovecot.process for backend in self.all_backends()]
        gates = [backend.daemon.process for backend in self.all_backends()]
        frontends = [frontend.process for frontend in self.frontends.values()]
        directory = [self.replica.process, self.slapd.process]
        return [name for group in (frontends, gates, [*stores, *directory])
                for name in stop_all(group)]
