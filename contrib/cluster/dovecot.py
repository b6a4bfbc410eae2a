# SPDX-License-Identifier: Apache-2.0
"""A real Dovecot as the mail store of one backend.

Its configuration is what mailstead dovecot-config makes of the backend's own: with the fence that
every store should have, and the storage of an adopted account found by its oldHostServer in
the folder that all backends share.
"""
import grp
import os
import pwd
from pathlib import Path

from .network import Network, greets
from .process import Process

SECTION = """\
dovecot {{
    uri = {{ "{uri}" }}
    bind_dn = "{dn}"
    bind_password_file = "{secret}"
    user = "{user}"
    group = "{group}"
    run_directory = "{run}"
    state_directory = "{state}"
{more}}}
"""

# A storage of its own.
REPLICA = """\
    mail_directory = "{storage}"
"""

# Beside what mailstead dovecot-config writes, for the tests.
LOCAL = """\
log_path = /dev/stderr
# Everyone comes from this machine here: one wrong password would delay all.
auth_failure_delay = 0
mail_max_userip_connections = 1000
haproxy_trusted_networks = 127.0.0.0/8
{unprivileged}
service anvil {{
  {login_process}
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  {login_process}
  inet_listener imaps {{
    address = {address}
    port = {ports.STORE_IMAPS}
    ssl = yes
  }}
  inet_listener imap-proxied {{
    address = {address}
    port = {ports.STORE_IMAP_PROXIED}
    haproxy = yes
  }}
}}
service pop3-login {{
  {login_process}
  inet_listener pop3s {{
    address = {address}
    port = {ports.STORE_POP3S}
    ssl = yes
  }}
}}
service managesieve-login {{
  {login_process}
}}
protocol imap {{
  mail_plugins = imap_zlib
}}
protocol lmtp {{
  mail_plugins = $mail_plugins quota
}}
"""


class Dovecot:
    """The store of the backend `name`, in `folder`/NAME/dovecot, mail in `folder`/storage/NAME."""

    def __init__(self, name, folder, address, slapd, tls, has_replica=False):
        self.name, self.address = name, address
        self.root = Path(folder)
        self.folder = self.root / name / "dovecot"
        self.run_folder = self.root / name / "d"  # short: unix sockets have short names
        self.configuration = self.folder / "dovecot.conf"
        self.slapd, self.tls, self.has_replica = slapd, tls, has_replica
        self.process = Process(f"dovecot-{name}", folder, ["/usr/sbin/dovecot", "-F", "-c", self.configuration],
                               is_ready=self.is_ready)

    def is_ready(self):
        return (greets(self.address, Network.STORE_IMAP, b"* OK")
                and greets(self.address, Network.STORE_POP3, b"+OK")
                and greets(self.address, Network.STORE_LMTP, b"220")
                and greets(self.address, Network.STORE_SIEVE, b'"'))

    def storage(self, account, host=None):
        """The mail folder of `account` on the storage of `host` (default: this backend)."""
        local_part, _, domain = account.partition("@")
        return self.root / "storage" / (host or self.name) / domain / local_part

    def section(self):
        """What the configuration of the node in front says of this store."""
        identity, more = self.identity(), ""
        if self.has_replica:
            more = REPLICA.format(storage=self.root / "storage" / self.name)
        return SECTION.format(uri=self.slapd.uri, dn=self.slapd.dn("dovecot"),
                              secret=self.slapd.secret_file("dovecot"), user=identity.pw_name,
                              group=grp.getgrgid(identity.pw_gid).gr_name, run=self.run_folder,
                              state=self.folder / "state", more=more)

    def doveadm_secret(self):
        """The file with the password between the stores, made when it is not there."""
        file = self.root / "doveadm.secret"
        file.write_text("between stores\n")
        file.chmod(0o600)
        return file

    @staticmethod
    def identity():
        """The account of the system that mail belongs to."""
        return pwd.getpwnam("mail") if os.getuid() == 0 else pwd.getpwuid(os.getuid())

    def create(self, admin):
        """`admin` is the command with the configuration of the node in front."""
        (self.folder / "state").mkdir(parents=True)
        self.run_folder.mkdir()
        identity = self.identity()
        storage = self.root / "storage" / self.name
        storage.mkdir(parents=True)
        os.chown(storage, identity.pw_uid, identity.pw_gid)
        self.configure(admin)

    def configure(self, admin):
        """Writes the configuration, anew when it was there."""
        identity, is_root = self.identity(), os.getuid() == 0
        shared = [] if self.has_replica else ["--mail-directory", self.root / "storage"]
        admin.text("dovecot-config", "--write", self.folder, *shared)
        (self.folder / "local.conf").write_text(LOCAL.format(
            address=self.address, ports=Network, login_process="" if is_root else "chroot =",
            unprivileged="" if is_root else
            f"default_login_user = {identity.pw_name}\ndefault_internal_user = {identity.pw_name}\n"
            f"default_internal_group = {grp.getgrgid(identity.pw_gid).gr_name}"))
        # An account with employeeType "locked" is unknown to the store alone: for the tests.
        for name in ("own", "foreign"):
            file = self.folder / f"mailstead-{name}.conf"
            file.write_text(file.read_text().replace("(objectClass=mailsteadAccount)",
                                                     "(objectClass=mailsteadAccount)(!(employeeType=locked))"))
        # One that has these attributes has a quota, by which mail is refused for good: for the tests.
        own = self.folder / "mailstead-own.conf"
        own.write_text(own.read_text().replace("user_attrs = ", "user_attrs = roomNumber=quota,"
                                               "employeeNumber=quota_rule,"))

    def start(self):
        self.process.start()

    def stop(self):
        self.process.stop()

    def kill(self):
        self.process.kill()
