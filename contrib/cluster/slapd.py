# SPDX-License-Identifier: Apache-2.0
"""A real slapd: mdb, content synchronisation, Mailstead's schema, and one identity for each use.

Identities (all under dc=example,dc=org): cn=mailstead follows and may read no password,
cn=mailstead-admin writes hostServer and oldHostServer and nothing else, cn=dovecot reads the
password hashes, cn=replica reads everything, cn=root is the administrator of the tests.

The mail stores ask a replica, so that the server that Mailstead follows can be stopped alone.
"""
import os
import shutil
from pathlib import Path

from .accounts import BACKENDS, PEOPLE, SUFFIX, account_ldif, hash_password
from .network import Network, can_connect
from .process import Process, TroubleError, run, wait_until

MODULES = "/usr/lib/ldap"
SCHEMAS = "/etc/ldap/schema"
ROLES = ("root", "mailstead", "mailstead-admin", "dovecot", "replica")

CONFIGURATION = """\
include {schemas}/core.schema
include {schemas}/cosine.schema
include {schemas}/inetorgperson.schema
include "{mailstead_schema}"
modulepath {modules}
moduleload back_mdb
moduleload syncprov
pidfile {folder}/slapd.pid
TLSCACertificateFile {tls.ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
sizelimit unlimited
timelimit unlimited
loglevel none
threads {threads}

database mdb
suffix "{suffix}"
rootdn "cn=root,{suffix}"
rootpw {root_hash}
directory {folder}/data
maxsize {maxsize}
index objectClass,entryUUID,entryCSN eq
index uid,mail,hostServer,oldHostServer eq
access to attrs=userPassword
  by dn.exact="cn=dovecot,{suffix}" read
  by dn.exact="cn=replica,{suffix}" read
  by anonymous auth
  by * none
access to attrs=hostServer,oldHostServer
  by dn.exact="cn=mailstead-admin,{suffix}" write
  by dn.exact="cn=mailstead,{suffix}" read
  by dn.exact="cn=dovecot,{suffix}" read
  by dn.exact="cn=replica,{suffix}" read
  by * none
access to *
  by dn.exact="cn=replica,{suffix}" read
  by dn.exact="cn=mailstead-admin,{suffix}" read
  by dn.exact="cn=mailstead,{suffix}" read
  by dn.exact="cn=dovecot,{suffix}" read
  by * none
"""

PROVIDER = """\
overlay syncprov
syncprov-checkpoint 1000 10
syncprov-sessionlog 10000
"""

REPLICA = """\
syncrepl rid=1
  provider={uri}
  bindmethod=simple
  binddn="{dn}"
  credentials={password}
  searchbase="{suffix}"
  type=refreshAndPersist
  retry="1 +"
"""


class Slapd:
    """One server, called `name`, on `address`; `tls` gives its certificate, called "ldap".

    With `provider`, another Slapd, it is a replica of that one.
    """

    def __init__(self, folder, address, tls, schema, name="slapd", provider=None):
        self.folder = Path(folder) / name
        self.address, self.port = address, Network.LDAP
        self.tls = tls
        self.schema = Path(schema)
        self.provider = provider
        self.uri = f"ldap://{address}:{self.port}"
        self.maxsize_bytes = 1 << 30
        # A copy of the program: the profile that some systems bind to its usual path lets
        # it read nothing outside its usual folders.
        self.program = self.folder / "bin" / "slapd"
        self.configuration = self.folder / "slapd.conf"
        self.process = Process(
            name, folder, [self.program, "-d", "0", "-f", self.configuration, "-h", self.uri],
            is_ready=lambda: can_connect(self.address, self.port))

    # -- identities ----------------------------------------------------------
    def dn(self, role):
        assert role in ROLES
        return f"cn={role},{SUFFIX}"

    def secret_file(self, role):
        """The file with the role's password, without a line break, as ldap-utils want it."""
        return (self.provider or self).folder / f"{role}.secret"

    # -- life ----------------------------------------------------------------
    def create(self, accounts=()):
        """Writes the configuration and loads the accounts; the server must not run.  A replica gets them later."""
        (self.folder / "data").mkdir(parents=True)
        (self.folder / "bin").mkdir()
        shutil.copy("/usr/sbin/slapd", self.program)
        if not self.provider:
            for role in ROLES:
                file = self.secret_file(role)
                file.write_text(os.urandom(12).hex())
                file.chmod(0o600)
        self.configuration.write_text(CONFIGURATION.format(
            schemas=SCHEMAS, modules=MODULES, mailstead_schema=self.schema, folder=self.folder,
            suffix=SUFFIX, maxsize=self.maxsize_bytes, tls=self.tls, certificate=self.tls.certificate("ldap"),
            key=self.tls.key("ldap"), root_hash=hash_password(self.secret_file("root").read_text()),
            threads=max(8, 2 * os.cpu_count()))  # see mailstead.schema
            + self.replication())
        self.configuration.chmod(0o600)
        if not self.provider:
            run([self.program, "-Tadd", "-q", "-f", self.configuration], "loading the accounts",
                input=self.base_ldif() + "".join(account_ldif(account) for account in accounts))

    def replication(self):
        if not self.provider:
            return PROVIDER
        return REPLICA.format(uri=self.provider.uri, dn=self.dn("replica"), suffix=SUFFIX,
                              password=self.secret_file("replica").read_text())

    def base_ldif(self):
        entries = [f"dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\n"
                   "dc: example\no: Example\n\n",
                   f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n\n",
                   f"dn: {BACKENDS}\nobjectClass: organizationalUnit\nou: backends\n\n"]
        for role in ROLES[1:]:
            secret = hash_password(self.secret_file(role).read_text())
            entries.append(f"dn: {self.dn(role)}\nobjectClass: organizationalRole\n"
                           f"objectClass: simpleSecurityObject\ncn: {role}\nuserPassword: {secret}\n\n")
        return "".join(entries)

    def start(self):
        self.process.start()

    def stop(self):
        self.process.stop()

    def wait_for_provider(self):
        """For a replica: waits until it has whatever its provider has now."""
        mark = os.urandom(8).hex()
        self.provider.modify(f"dn: {PEOPLE}\nchangetype: modify\nreplace: description\ndescription: {mark}\n")
        wait_until(lambda: self.has_mark(mark), f"{self.process.name} follows {self.provider.process.name}", 30, 0.05)

    def has_mark(self, mark):
        try:
            return bool(self.search(f"(description={mark})", ("ou",), "dovecot"))
        except TroubleError:
            return False  # it has no identities yet

    # -- requests ------------------------------------------------------------
    def tool(self, program, arguments, role="root", ldif=None):
        """Runs one of ldap-utils as `role`; gives what it prints."""
        return run([program, "-x", "-H", self.uri, "-D", self.dn(role),
                    "-y", self.secret_file(role), *arguments], program,
                   **({"input": ldif} if ldif is not None else {}))

    def modify(self, ldif, role="root"):
        return self.tool("ldapmodify", [], role, ldif)

    def search(self, filter_text, attributes=(), role="root", base=PEOPLE):
        """The entries that match: a list of {attribute in lower case: [values]}."""
        text = self.tool("ldapsearch", ["-LLL", "-o", "ldif-wrap=no", "-b", base, filter_text,
                                        *attributes], role)
        return [entry for entry in map(parse_entry, text.split("\n\n")) if entry]

    def hosts(self, address):
        """The (hostServer, oldHostServer) of an account, None for what is absent."""
        entries = self.search(f"(mail={address})", ("hostServer", "oldHostServer"))
        if len(entries) != 1:
            raise TroubleError(f"{address} is on {len(entries)} entries")
        return tuple(entries[0].get(name, [None])[0] for name in ("hostserver", "oldhostserver"))

    def set_host(self, account, host, old=None):
        """Rewrites one account by hand, as an administrator with ldapmodify would."""
        self.modify(f"dn: {account.dn}\nchangetype: modify\nreplace: hostServer\nhostServer: {host}\n-\n"
                    "replace: oldHostServer\n" + (f"oldHostServer: {old}\n" if old else "") + "-\n",
                    "mailstead-admin")

    def list_backend(self, backend, **attributes):
        """Adds the entry of a backend; `attributes` as backendWeight=7."""
        ports = {"backendLmtpPort": Network.LMTP, "backendImapPort": Network.IMAP, "backendPop3Port": Network.POP3,
                 "backendSievePort": Network.SIEVE}
        values = {"cn": backend.name, "backendAddress": backend.address, **ports, **attributes}
        self.add(f"dn: cn={backend.name},{BACKENDS}\nobjectClass: mailsteadBackend\n"
                 + "".join(f"{name}: {value}\n" for name, value in values.items()))

    def change_backend(self, name, attribute, value):
        """Gives the entry of a backend another value of one attribute."""
        self.modify(f"dn: cn={name},{BACKENDS}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n")

    def unlist_backend(self, name):
        self.delete(f"cn={name},{BACKENDS}")

    def add(self, ldif):
        return self.tool("ldapadd", [], ldif=ldif)

    def delete(self, dn):
        return self.tool("ldapdelete", [dn])


def parse_entry(text):
    entry = {}
    for line in text.strip().splitlines():
        name, _, value = line.partition(": ")
        entry.setdefault(name.lower(), []).append(value)
    return entry
