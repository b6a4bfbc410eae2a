# SPDX-License-Identifier: Apache-2.0
"""A real Dovecot as the mail store of one backend.

It has the ownership fence of its own that every backend should have: the first user
database knows only accounts whose hostServer is this backend, the second refuses all others
temporarily.  The storage of an adopted account is found by its oldHostServer in the folder
that all backends share.
"""
import grp
import os
import pwd
from pathlib import Path

from .accounts import PEOPLE
from .network import Network, greets
from .process import Process

CONFIGURATION = """\
instance_name = {name}
base_dir = {run}
state_dir = {folder}/state
log_path = /dev/stderr
protocols = imap pop3 lmtp sieve
listen = {address}
login_trusted_networks = 127.0.0.0/8
haproxy_trusted_networks = 127.0.0.0/8
disable_plaintext_auth = no
auth_mechanisms = plain login
# With a cache the old owner would go on serving an account that was moved away.
auth_cache_size = 0
# Everyone comes from this machine here: one wrong password would delay all.
auth_failure_delay = 0
mail_max_userip_connections = 1000
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
mail_location = maildir:~/Maildir
first_valid_uid = 1
first_valid_gid = 1
mail_uid = {user}
mail_gid = {group}
{unprivileged}
passdb {{
  driver = ldap
  args = {folder}/passdb.conf
}}
userdb {{
  driver = ldap
  args = {folder}/userdb-own.conf
}}
userdb {{
  driver = ldap
  args = {folder}/userdb-foreign.conf
}}
service anvil {{
  {login_process}
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  {login_process}
  service_count = 0
  client_limit = 5000
  process_limit = 2
  inet_listener imap {{
    port = {ports.STORE_IMAP}
  }}
  inet_listener imaps {{
    port = {ports.STORE_IMAPS}
    ssl = yes
  }}
  inet_listener imap-proxied {{
    port = {ports.STORE_IMAP_PROXIED}
    haproxy = yes
  }}
}}
service pop3-login {{
  {login_process}
  service_count = 0
  client_limit = 5000
  process_limit = 2
  inet_listener pop3 {{
    port = {ports.STORE_POP3}
  }}
  inet_listener pop3s {{
    port = {ports.STORE_POP3S}
    ssl = yes
  }}
}}
protocol imap {{
  mail_plugins = imap_zlib
}}
service managesieve-login {{
  {login_process}
  service_count = 0
  client_limit = 1000
  process_limit = 2
  inet_listener sieve {{
    port = {ports.STORE_SIEVE}
  }}
}}
service managesieve {{
  process_limit = 500
}}
plugin {{
  sieve = file:~/sieve;active=~/.dovecot.sieve
}}
service imap {{
  process_limit = 2000
}}
service pop3 {{
  process_limit = 2000
}}
service lmtp {{
  inet_listener lmtp {{
    address = {address}
    port = {ports.STORE_LMTP}
  }}
}}
"""

LDAP = """\
uris = {uri}
dn = {dn}
dnpass = {password}
base = {base}
scope = onelevel
"""


class Dovecot:
    """The store of the backend `name`, in `folder`/NAME/dovecot, mail in `folder`/storage/NAME."""

    def __init__(self, name, folder, address, slapd, tls):
        self.name, self.address = name, address
        self.root = Path(folder)
        self.folder = self.root / name / "dovecot"
        self.run_folder = self.root / name / "d"  # short: unix sockets have short names
        self.configuration = self.folder / "dovecot.conf"
        self.slapd, self.tls = slapd, tls
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

    def create(self):
        (self.folder / "state").mkdir(parents=True)
        self.run_folder.mkdir()
        user = "mail" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        identity = pwd.getpwnam(user)
        storage = self.root / "storage" / self.name
        storage.mkdir(parents=True)
        os.chown(storage, identity.pw_uid, identity.pw_gid)
        is_root = os.getuid() == 0
        self.configuration.write_text(CONFIGURATION.format(
            name=self.name, run=self.run_folder, folder=self.folder, address=self.address,
            certificate=self.tls.certificate(self.name), key=self.tls.key(self.name),
            user=user, group=identity.pw_gid, ports=Network,
            login_process="" if is_root else "chroot =",
            unprivileged="" if is_root else
            f"default_login_user = {user}\ndefault_internal_user = {user}\n"
            f"default_internal_group = {grp.getgrgid(identity.pw_gid).gr_name}"))
        self.write_ldap("passdb.conf", "pass_attrs = userPassword=password\n"
                        "pass_filter = (&(objectClass=mailsteadAccount)(mail=%Lu))\n")
        home = f"{self.root}/storage/%{{ldap:oldHostServer:{self.name}}}/%Ld/%Ln"
        # An account with employeeType "locked" is unknown to the store alone: for the tests.
        known = "(objectClass=mailsteadAccount)(mail=%Lu)(!(employeeType=locked))"
        own = f"(&{known}(hostServer={self.name}))"
        self.write_ldap("userdb-own.conf", f"user_attrs = =home={home}\nuser_filter = {own}\n"
                        f"iterate_attrs = mail=user\niterate_filter = (hostServer={self.name})\n")
        self.write_ldap("userdb-foreign.conf", "user_attrs = =tempfail=yes\n"
                        f"user_filter = (&{known})\n")

    def write_ldap(self, name, lines):
        file = self.folder / name
        file.write_text(LDAP.format(
            uri=self.slapd.uri, dn=self.slapd.dn("dovecot"), base=PEOPLE,
            password=self.slapd.secret_file("dovecot").read_text()) + lines)
        file.chmod(0o600)

    def start(self):
        self.process.start()

    def stop(self):
        self.process.stop()

    def kill(self):
        self.process.kill()
