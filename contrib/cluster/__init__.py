# SPDX-License-Identifier: Apache-2.0
"""A whole Mailstead cluster of real parts on loopback: slapd, Dovecot, and our own daemons.

One home for what contrib/quickstart and tests/system both need.  Python's standard
library only.  Everything lies in one folder, each server has an address of its own in a
loopback network that nobody else uses, and each process is ended by its own id.
"""
from .accounts import Account, make_accounts
from .certificates import Certificates
from .cluster import Cluster
from .dovecot import Dovecot
from .mailstead import Admin, BackendDaemon, FrontendDaemon
from .network import Network
from .process import Process, TroubleError, wait_until
from .slapd import Slapd

__all__ = [
    "Account", "Admin", "BackendDaemon", "Certificates", "Cluster", "Dovecot",
    "FrontendDaemon", "Network", "Process", "Slapd", "TroubleError", "make_accounts",
    "wait_until",
]
