# SPDX-License-Identifier: Apache-2.0
"""How many recipients a user may have in an hour: counted by all workers together, and over a reload."""
import re
import smtplib

import pytest

from cluster import Network, clients
from reloads import reload
from scripted import PER_HOUR

ASKED_MAX = 40  # connections until each of two workers has had one


@pytest.fixture
def front(returning_cluster):
    for server in returning_cluster.servers():
        server.forget()
    return returning_cluster.frontends["fe1"]


@pytest.fixture
def logged_in(returning_cluster, front):
    """logged_in(account): a session of that user."""
    opened, tls = [], clients.trusting(returning_cluster)

    def log_in(account):
        smtp = smtplib.SMTP_SSL(front.address, Network.SUBMISSIONS, timeout=60, context=tls)
        opened.append(smtp)
        smtp.ehlo("laptop.example.com")
        smtp.login(account.address, account.password)
        return smtp

    yield log_in
    for smtp in opened:
        smtp.close()


def workers_of(front, account):
    return set(re.findall(rf"(worker-\d) info id=\S+ event=login protocol=submission account={account.address} ",
                          front.log()))


def asked(smtp, account, recipient):
    """The answer to one recipient in a transaction that is then left."""
    assert smtp.mail(account.address)[0] == 250
    answer = smtp.rcpt(recipient)
    smtp.rset()
    return answer


def test_the_allowance_is_one_for_all_workers_and_over_a_reload(returning_cluster, front, logged_in):
    account, other, neighbour = returning_cluster.accounts_of("sv1")[:3]
    sessions = []
    while len(workers_of(front, account)) < 2:
        assert len(sessions) < ASKED_MAX
        sessions.append(logged_in(account))
    for smtp in sessions[:PER_HOUR]:
        assert asked(smtp, account, "nobody@example.org")[0] == 550  # costs nothing
    turns = [sessions[turn % len(sessions)] for turn in range(PER_HOUR + len(sessions))]
    answers = [asked(smtp, account, neighbour.address) for smtp in turns]
    assert [code for code, _ in answers] == [250] * PER_HOUR + [451] * len(sessions)
    assert answers[-1] == (451, b"4.7.1 Too many recipients in an hour")
    front.await_event(f"event=recipients_limited account={account.address} ")
    assert asked(logged_in(other), other, neighbour.address)[0] == 250
    reload(front)
    assert asked(logged_in(account), account, neighbour.address)[0] == 451
