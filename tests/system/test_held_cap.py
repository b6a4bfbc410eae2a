# SPDX-License-Identifier: Apache-2.0
"""How many logins wait for one backend that is down, whichever workers they come to."""
import os
import signal

import pytest

from cluster import Network, wait_until
from cluster.process import socket_owner
from raw import Raw
from reloads import configured
from scripted import LONGEST_WAIT_S

CAP = 8


@pytest.fixture
def fe1(returning_cluster):
    frontend = returning_cluster.frontends["fe1"]
    # All come from one address, which is trusted: what a killed worker had to judge stays charged.
    with configured(frontend, lambda text: text.replace(
            "limits {\n", f"limits {{\n    held_logins_per_backend = {CAP}\n")):
        wait_until(lambda: len(frontend.children("worker")) == returning_cluster.workers, "the old workers are gone", 20)
        yield frontend


class Login:
    def __init__(self, frontend, account):
        self.raw = Raw(frontend.address, Network.IMAP, seconds=LONGEST_WAIT_S)
        self.raw.line()
        connection = self.raw.socket
        self.worker = socket_owner(connection.getsockname(), connection.getpeername(), frontend.children("worker"))
        self.raw.send(f"a LOGIN {account.address} {account.password}\r\n".encode())


def test_above_the_cap_logins_are_refused_at_once_and_a_killed_workers_count_for_nothing(returning_cluster, fe1):
    workers = returning_cluster.workers
    account, other = (returning_cluster.accounts_of(name)[0] for name in ("sv1", "sv2"))
    server = returning_cluster.backends["sv1"].imap
    size = len(fe1.log())

    def refused():
        return fe1.log()[size:].count('why="too many logins wait for the backend"')

    server.refuse_connections()
    first = [Login(fe1, account) for _ in range(3 * CAP)]
    wait_until(lambda: refused() == 2 * CAP, "all but some are refused", LONGEST_WAIT_S)
    # The other backend's clients notice nothing.
    assert Login(fe1, other).raw.line().startswith(b"a OK")

    survivor, victim = fe1.children("worker")
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(fe1.children("worker")) == workers and victim not in fe1.children("worker"),
               "a new worker runs", 20)
    wait_until(lambda: Login(fe1, other).worker == survivor, "the other worker has accepted once more")
    # As many wait again as may.
    lasting = [login for login in first if login.worker == survivor]
    second = [Login(fe1, account) for _ in range(2 * CAP)]
    wait_until(lambda: refused() >= 3 * CAP, "so many are refused again", LONGEST_WAIT_S)
    server.listen()
    answers = [login.raw.line() for login in lasting + second]
    assert sum(answer.startswith(b"a OK") for answer in answers) == CAP
    assert all(answer.startswith((b"a OK", b"a NO [UNAVAILABLE]")) for answer in answers)
    for login in first + second:
        login.raw.close()
