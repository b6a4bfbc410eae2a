# SPDX-License-Identifier: Apache-2.0
"""A loopback network of our own: each server has an address, all have the same ports."""
import random
import socket

from .process import TroubleError


class Network:
    """The addresses PREFIX.1 to PREFIX.254, PREFIX being like "127.40.7"."""

    # Ports that need no privileges, the same on every server.
    LDAP = 3389
    SMTP, IMAP, IMAPS, POP3, POP3S, LMTP = 2525, 1143, 1993, 1110, 1995, 2424
    SUBMISSION, SUBMISSIONS = 2587, 2465
    STORE_IMAP, STORE_IMAPS, STORE_POP3, STORE_POP3S, STORE_LMTP = 10143, 10993, 10110, 10995, 10024
    SIEVE, STORE_SIEVE = 4190, 14190
    ADMIN = 8443
    STORE_IMAP_PROXIED = 10144  # begins with the PROXY protocol
    STORE_DOVEADM = 24245

    def __init__(self, prefix):
        self.prefix = prefix

    def address(self, number):
        return f"{self.prefix}.{number}"

    def is_free(self):
        """True when nobody listens there; a listener on all addresses would be in the way too."""
        ports = [value for name, value in vars(Network).items() if name.isupper()]
        for port in ports:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                for number in (1, 2, 11, 12, 13, 21, 22, 31, 32, 33):
                    if not can_bind(self.address(number), port):
                        return False
        return True

    @classmethod
    def find(cls, first=None):
        """A network that is free: `first` if it is, else any."""
        candidates = [first] if first else []
        candidates += [f"127.{random.randint(32, 250)}.{random.randint(1, 250)}" for _ in range(20)]
        for prefix in candidates:
            network = cls(prefix)
            if network.is_free():
                return network
        raise TroubleError("no loopback network is free: other programs listen on ports such as "
                           f"{cls.SMTP} or {cls.IMAP} of all addresses")


def can_bind(address, port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True


def can_connect(address, port):
    try:
        socket.create_connection((address, port), 2).close()
        return True
    except OSError:
        return False


def greets(address, port, start):
    """True when a server answers there and its first bytes are `start`."""
    try:
        with socket.create_connection((address, port), 2) as connection:
            return connection.recv(512).startswith(start)
    except OSError:
        return False
