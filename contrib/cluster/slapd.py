# SPDX-License-Identifier: Apache-2.0
"""A real slapd: mdb, content synchronisation, Mailstead's schema, and one identity for each use.

Identities (all under dc=example,dc=org): cn=mailstead follows and may read no password,
cn=mailstead-admin writes hostServer and oldHostServer and nothing else, cn=dovecot reads the
password hashes, cn=root is the administrator of the tests.
"""
import os
import shutil
import subprocess
from pathlib import Path

from .accounts import PEOPLE, SUFFIX, account_ldif, hash_password
from .network import Network, can_connect
from .process import Process, TroubleError, run

MODULES = "/usr/lib/ldap"
SCHEMAS = "/etc/ldap/schema"
ROLES = ("root", "mailstead", "mailstead-admin", "dovecot")

CONFIGURATION = """\
include {schemas}/core.schema
include {schemas}/cosine.schema
include {schemas}/inetorgperson.schema
include {mailstead_schema}
modulepath {modules}
moduleload back_mdb
moduleload syncprov
pidfile {folder}/slapd.pid
TLSCACertificateFile {tls.ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
sizelimit unlimited
timelimit unlimited

database mdb
suffix "{suffix}"
rootdn "cn=root,{suffix}"
rootpw {root_hash}
directory {folder}/data
maxsize 1073741824
index objectClass,entryUUID,entryCSN eq
index uid,mail,hostServer,oldHostServer eq
access to attrs=userPassword
  by dn.exact="cn=dovecot,{suffix}" read
  by anonymous auth
  by * none
access to attrs=hostServer,oldHostServer
  by dn.exact="cn=mailstead-admin,{suffix}" write
  by dn.exact="cn=mailstead,{suffix}" read
  by dn.exact="cn=dovecot,{suffix}" read
  by * none
access to *
  by dn.exact="cn=mailstead-admin,{suffix}" read
  by dn.exact="cn=mailstead,{suffix}" read
  by dn.exact="cn=dovecot,{suffix}" read
  by * none
overlay syncprov
syncprov-checkpoint 1000 10
syncprov-sessionlog 10000
"""


class Slapd:
    """One server in `folder`/slapd on `address`; `tls` gives its certificate, called "ldap"."""

    def __init__(self, folder, address, tls, schema, port=Network.LDAP):
        self.folder = Path(folder) / "slapd"
        self.address, self.port = address, port
        self.tls = tls
        self.schema = Path(schema)
        self.uri = f"ldap://{address}:{port}"
        # A copy of the program: the profile that some systems bind to its usual path lets
        # it read nothing outside its usual folders.
        self.program = self.folder / "bin" / "slapd"
        self.configuration = self.folder / "slapd.conf"
        self.process = Process(
            "slapd", folder,
            [self.program, "-d", "0", "-f", self.configuration, "-h", self.uri],
            is_ready=lambda: can_connect(self.address, self.port))

    # -- identities ----------------------------------------------------------
    def dn(self, role):
        assert role in ROLES
        return f"cn={role},{SUFFIX}"

    def secret_file(self, role):
        """The file with the role's password, without a line break, as ldap-utils want it."""
        return self.folder / f"{role}.secret"

    # -- life ----------------------------------------------------------------
    def create(self, accounts):
        """Writes the configuration and loads the accounts; the server must not run."""
        (self.folder / "data").mkdir(parents=True)
        (self.folder / "bin").mkdir()
        shutil.copy("/usr/sbin/slapd", self.program)
        for role in ROLES:
            file = self.secret_file(role)
            file.write_text(os.urandom(12).hex())
            file.chmod(0o600)
        self.configuration.write_text(CONFIGURATION.format(
            schemas=SCHEMAS, modules=MODULES, mailstead_schema=self.schema, folder=self.folder,
            suffix=SUFFIX, tls=self.tls, certificate=self.tls.certificate("ldap"),
            key=self.tls.key("ldap"), root_hash=hash_password(self.secret_file("root").read_text())))
        self.configuration.chmod(0o600)
        run([self.program, "-Tadd", "-q", "-f", self.configuration], "loading the accounts",
            input=self.base_ldif() + "".join(account_ldif(account) for account in accounts))

    def base_ldif(self):
        entries = [f"dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\n"
                   "dc: example\no: Example\n\n",
                   f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n\n"]
        for role in ROLES[1:]:
            secret = hash_password(self.secret_file(role).read_text())
            entries.append(f"dn: {self.dn(role)}\nobjectClass: organizationalRole\n"
                           f"objectClass: simpleSecurityObject\ncn: {role}\nuserPassword: {secret}\n\n")
        return "".join(entries)

    def start(self):
        self.process.start()

    def stop(self):
        self.process.stop()

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
