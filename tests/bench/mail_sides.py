# SPDX-License-Identifier: Apache-2.0
"""The sides of a bench of messages, in front of the same sinks: HAProxy, Postfix and Mailstead.

HAProxy only moves bytes: it knows no address and queues nothing, and is what a machine can do at best.
Postfix looks each address up in LDAP, as Mailstead's directory has it, over its proxymap(8), and queues
each message before it delivers it; what in its defaults would hold it back here is lifted (sides.py).
"""
import os
import subprocess
import time
from pathlib import Path

from sides import Network, can_connect, cpu_seconds, tree, wait_until

HAPROXY = """\
global
    nbthread {workers}
    maxconn 4000
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen mx
    bind {address}:{port} backlog 4096
{servers}"""


class MailSide:
    """One side: where it takes mail, what it uses, and what only it needs to be told."""

    def __init__(self, bench, name, address, process):
        self.bench, self.name, self.process = bench, name, process
        self.endpoint = f"{address}:{Network.SMTP}"

    def cpu_seconds(self):
        return cpu_seconds([self.process])

    def disk_bytes(self):
        """What all its processes, ended ones too, have made the kernel write."""
        total = 0
        for pid in tree(self.process.pid):
            try:
                fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
            except OSError:
                continue
            total += int(fields["write_bytes"]) - int(fields["cancelled_write_bytes"])
        return total

    def load(self, clients, messages, size, per_session):
        return self.bench.load("smtp", self.endpoint, clients, messages, len(self.bench.cluster.accounts), size,
                               per_session)

    def backends_left(self):
        """To be called when the sinks have been stopped."""

    def backends_return(self):
        """To be called when the sinks run again."""


class Postfix(MailSide):
    def backends_return(self):
        subprocess.run(["/usr/sbin/postqueue", "-c", self.bench.folder / "postfix/etc", "-f"], check=True)


class Mailstead(MailSide):
    def backends_left(self):
        """Its probes have seen it: what comes from now on waits for a backend that is known to be down."""
        wait_until(lambda: all(map(self.is_known_down, self.bench.cluster.backends)),
                   "Mailstead sees that the backends are down", 60)

    def is_known_down(self, name):
        log = self.bench.frontend.log()
        return (log.rfind(f"event=backend_down backend={name} protocol=lmtp")
                > log.rfind(f"event=backend_up backend={name} protocol=lmtp"))


def start_haproxy(bench):
    address, file = bench.cluster.network.address(34), bench.folder / "haproxy-mx.cfg"
    servers = "".join(f"    server {name} {backend.address}:{Network.LMTP}\n"
                      for name, backend in bench.cluster.backends.items())
    file.write_text(HAPROXY.format(workers=bench.cluster.workers, address=address, port=Network.SMTP,
                                   servers=servers))
    process = bench.add("haproxy-mx", ["/usr/sbin/haproxy", "-db", "-q", "-f", file],
                        lambda: can_connect(address, Network.SMTP))
    return MailSide(bench, "haproxy", address, process)


def start_postfix(bench):
    return Postfix(bench, "postfix", bench.peer_address, bench.start_postfix())


def mailstead(bench):
    return Mailstead(bench, "mailstead", bench.frontend.address, bench.frontend.process)


# -- a backlog -----------------------------------------------------------------
def arrival(bench, messages, seconds=600):
    """(seconds until the first of `messages` came to the sinks, seconds from there until all had come)."""
    began = time.monotonic()
    wait_until(lambda: bench.taken() > 0, "the first message arrives", seconds, 0.005)
    first = time.monotonic()
    wait_until(lambda: bench.taken() >= messages, f"{messages} messages arrive", seconds, 0.01)
    return first - began, time.monotonic() - first


def has_strace():
    return os.access("/usr/bin/strace", os.X_OK)
