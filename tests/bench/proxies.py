# SPDX-License-Identifier: Apache-2.0
"""The proxies that stand beside Mailstead in front of the same sinks, each at its cheapest.

nginx mail asks an HTTP helper, which asks LDAP.  Dovecot's proxy, in its high-performance login
mode, asks LDAP itself.  HAProxy asks nobody and knows no protocol but TLS.  All have as many
workers, the same certificate, and TLS tickets.
"""
import grp
import os
import pwd
import resource
from dataclasses import dataclass

from sides import PEOPLE, Network, can_connect

PORTS = (("imap", Network.IMAP, False), ("imap", Network.IMAPS, True),
         ("pop3", Network.POP3, False), ("pop3", Network.POP3S, True))
CONNECTIONS = 8_000

NGINX = """\
load_module /usr/lib/nginx/modules/ngx_mail_module.so;
daemon off;
worker_processes {workers};
worker_rlimit_nofile {connections};
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections {connections}; }}
mail {{
    auth_http {helper}/;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache off;
{servers}}}
"""

HAPROXY = """\
global
    nbthread {workers}
    maxconn {connections}
    stats socket {folder}/stats.sock
    tune.ssl.default-dh-param 2048
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
{sections}
"""

DOVECOT = """\
instance_name = proxy
base_dir = {run}
state_dir = {folder}/state
log_path = {folder}/log
info_log_path = {folder}/log
protocols = imap pop3
listen = {address}
disable_plaintext_auth = no
auth_mechanisms = plain
auth_cache_size = 0
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
ssl_min_protocol = TLSv1.2
default_client_limit = {connections}
default_process_limit = 100
default_vsz_limit = 2G
mail_max_userip_connections = 0
login_proxy_max_disconnect_delay = 0
{unprivileged}
passdb {{
  driver = ldap
  args = {folder}/passdb.conf
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service anvil {{
  {login_process}
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  client_limit = {connections}
}}
{services}
"""

DOVECOT_LOGIN = """\
service {protocol}-login {{
  {login_process}
  service_count = 0
  client_limit = {connections}
  process_min_avail = {workers}
  process_limit = {workers}
  inet_listener {protocol} {{
    port = {plain}
  }}
  inet_listener {protocol}s {{
    port = {tls}
    ssl = yes
  }}
}}
"""

# The addresses of the backends sv1, sv2 ... of a bench differ in their last digit alone.
DOVECOT_LDAP = """\
uris = {uri}
dn = {dn}
dnpass = {password}
base = {base}
scope = onelevel
pass_attrs = =proxy=y, =nopassword=y, =host={prefix}%-1.1{{ldap:hostServer}}, =port=%{{if;%s;eq;imap;{imap};{pop3}}}
pass_filter = (mail=%u)
"""


@dataclass
class Side:
    name: str
    address: str
    processes: list

    def endpoint(self, port):
        return f"{self.address}:{port}"


class Proxies:
    """What can be started beside the frontend of `bench`."""

    def __init__(self, bench):
        self.bench, self.cluster = bench, bench.cluster
        self.certificate = self.cluster.certificates.certificate("fe1")
        self.key = self.cluster.certificates.key("fe1")
        raise_descriptor_limit()

    def folder(self, name):
        folder = self.bench.folder / name
        folder.mkdir()
        return folder

    def address(self, number):
        return self.cluster.network.address(number)

    def mailstead(self):
        return Side("mailstead", self.bench.frontend.address, [self.bench.frontend.process])

    def nginx(self):
        address, folder, slapd = self.address(31), self.folder("nginx"), self.cluster.slapd
        helper = self.bench.add("auth_http", [
            self.bench.build / "tests/bench/auth_http", f"{address}:8080", slapd.uri, slapd.dn("mailstead"),
            slapd.secret_file("mailstead"), PEOPLE,
            *(f"{name}={backend.address}" for name, backend in self.cluster.backends.items())],
            lambda: can_connect(address, 8080))
        servers = "".join(
            f"    server {{ listen {address}:{port} backlog=4096{' ssl' if is_tls else ''}; protocol {protocol}; }}\n"
            for protocol, port, is_tls in PORTS)
        (folder / "nginx.conf").write_text(NGINX.format(
            folder=folder, helper=f"{address}:8080", workers=self.cluster.workers, certificate=self.certificate,
            key=self.key, servers=servers, connections=CONNECTIONS))
        nginx = self.bench.add("nginx", ["/usr/sbin/nginx", "-p", folder, "-e", folder / "error.log", "-c",
                                         folder / "nginx.conf"], lambda: can_connect(address, Network.IMAP))
        return Side("nginx", address, [nginx, helper])

    def haproxy(self):
        address, folder = self.address(33), self.folder("haproxy")
        pem = folder / "fe1.pem"
        pem.write_text(self.certificate.read_text() + self.key.read_text())
        pem.chmod(0o600)
        sections = ""
        for protocol, port, is_tls in PORTS:
            tls = f" ssl crt {pem}" if is_tls else ""
            plain = Network.IMAP if protocol == "imap" else Network.POP3
            backends = "".join(f"    server {name} {backend.address}:{plain}\n"
                               for name, backend in self.cluster.backends.items())
            sections += f"listen {protocol}-{port}\n    bind {address}:{port} backlog 4096{tls}\n{backends}"
        (folder / "haproxy.cfg").write_text(HAPROXY.format(
            folder=folder, workers=self.cluster.workers, sections=sections, connections=CONNECTIONS // 2))
        haproxy = self.bench.add("haproxy", ["/usr/sbin/haproxy", "-db", "-q", "-f", folder / "haproxy.cfg"],
                                 lambda: can_connect(address, Network.IMAP))
        return Side("haproxy", address, [haproxy])

    def dovecot(self):
        address, folder, slapd = self.address(32), self.folder("dovecot-proxy"), self.cluster.slapd
        (folder / "state").mkdir()
        run_folder = self.folder("dp")  # short: unix sockets have short names
        is_root = os.getuid() == 0
        user = pwd.getpwuid(os.getuid())
        login_process = "" if is_root else "chroot ="
        services = "".join(DOVECOT_LOGIN.format(
            protocol=protocol, plain=plain, tls=tls, workers=self.cluster.workers, connections=CONNECTIONS,
            login_process=login_process)
            for protocol, plain, tls in (("imap", Network.IMAP, Network.IMAPS), ("pop3", Network.POP3, Network.POP3S)))
        (folder / "dovecot.conf").write_text(DOVECOT.format(
            run=run_folder, folder=folder, address=address, certificate=self.certificate, key=self.key,
            connections=CONNECTIONS, login_process=login_process, services=services,
            unprivileged="" if is_root else
            f"default_login_user = {user.pw_name}\ndefault_internal_user = {user.pw_name}\n"
            f"default_internal_group = {grp.getgrgid(user.pw_gid).gr_name}"))
        secret = folder / "passdb.conf"
        secret.write_text(DOVECOT_LDAP.format(
            uri=slapd.uri, dn=slapd.dn("mailstead"), password=slapd.secret_file("mailstead").read_text(),
            base=PEOPLE, prefix=self.address(1), imap=Network.IMAP, pop3=Network.POP3))
        secret.chmod(0o600)
        dovecot = self.bench.add("dovecot-proxy", ["/usr/sbin/dovecot", "-F", "-c", folder / "dovecot.conf"],
                                 lambda: can_connect(address, Network.POP3))
        return Side("dovecot", address, [dovecot])

    def all(self, names):
        """The sides with these names, started, in this order; Mailstead is always one."""
        return [getattr(self, name)() for name in dict.fromkeys([*names, "mailstead"])]


def raise_descriptor_limit():
    """The peers, the sinks and the load generator take what limit they inherit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
