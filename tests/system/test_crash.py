# SPDX-License-Identifier: Apache-2.0
"""Processes die at random moments while mail flows: nothing accepted is lost, nothing is invented.

Each seed is one run; MAILSTEAD_SEEDS says how many (default 10).  A failure names its seed.
"""
import os
import random
import signal
import smtplib
import time

import pytest

from cluster import Network, TroubleError, clients, wait_until
from ledger import body_of, is_whole
from threads import Threads

pytestmark = pytest.mark.long

SENDERS = 6
SECONDS = 8
ROLES = ("queue", "worker", "worker", "directory", "control")


class Senders(Threads):
    """Threads that send until told to stop, and remember what was accepted."""

    def __init__(self, cluster, accounts, seed):
        self.cluster, self.accounts, self.seed = cluster, accounts, seed
        self.accepted = []  # (address, subject)
        self.attempted = set()
        super().__init__(range(SENDERS))

    def run(self, number):
        chance = random.Random(f"{self.seed} {number}")
        frontends = list(self.cluster.frontends.values())
        count = 0
        while not self.is_over.is_set():
            count += 1
            subject = f"seed {self.seed} sender {number} message {count}"
            recipients = chance.sample(self.accounts, chance.choice((1, 1, 2, 5)))
            message = f"Subject: {subject}\r\n\r\n".encode() + body_of(subject, chance.choice((3, 50, 2000)))
            self.attempted.update((account.address, subject) for account in recipients)
            try:
                with smtplib.SMTP(chance.choice(frontends).address, Network.SMTP, timeout=30) as smtp:
                    refused = smtp.sendmail("a@example.com", [account.address for account in recipients], message)
            except (smtplib.SMTPException, OSError):
                continue  # not accepted: the sender's own queue would try again
            self.accepted += [(account.address, subject) for account in recipients
                              if account.address not in refused]


def stored(cluster, accounts):
    """What lies in the accounts' mailboxes: [(address, subject, is whole)]."""
    found = []
    for account in accounts:
        folder = cluster.backends[account.host].dovecot.storage(account.address) / "Maildir"
        for file in [*folder.glob("new/*"), *folder.glob("cur/*")]:
            octets = file.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
            head, _, body = octets.partition(b"\r\n\r\n")
            found.append((account.address, *clients.subjects([head + b"\r\n\r\n"]), is_whole(body)))
    return found


@pytest.mark.parametrize("seed", range(int(os.environ.get("MAILSTEAD_SEEDS", "10"))))
def test_random_kills_lose_and_invent_nothing(cluster, fresh, seed):
    accounts = [account for host in cluster.backends for account in fresh(host, 3)]
    chance = random.Random(seed)
    kills = 0
    with Senders(cluster, accounts, seed) as senders:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(chance.uniform(0.05, 0.8))
            frontend = chance.choice(list(cluster.frontends.values()))
            victims = frontend.children(chance.choice(ROLES))
            if victims:
                os.kill(chance.choice(victims), signal.SIGKILL)
                kills += 1
            if chance.random() < 0.15:
                backend = cluster.backends[chance.choice(list(cluster.backends))]
                backend.kill()
                time.sleep(chance.uniform(0.1, 1.5))
                backend.start()
    wanted = set(senders.accepted)
    assert wanted and kills

    def missing():
        return wanted - {(address, subject) for address, subject, _ in stored(cluster, accounts)}

    try:
        wait_until(lambda: not missing(), "all accepted mail arrives", 120, 0.2)
    except TroubleError:
        pytest.fail(f"lost after {kills} kills: {sorted(missing())}")
    found = stored(cluster, accounts)
    assert [item for item in found if not item[2]] == [], "corrupt"
    assert {item[:2] for item in found} <= senders.attempted, "misrouted or invented"
