# SPDX-License-Identifier: Apache-2.0
"""What was sent, what arrived, and what must be true of the two."""
import email
import hashlib
import re
import threading
import time
from email import policy
from typing import NamedTuple

KILL_WINDOW_S = 4  # so long before a kill an answer may have been on its way


def body_of(name, lines):
    """A body that proves itself: its last line is the digest of all before."""
    text = "".join(f"{name} line {number}\r\n" for number in range(lines)).encode()
    return text + hashlib.sha256(text).hexdigest().encode() + b"\r\n"


def is_whole(body):
    text, _, digest = body.rstrip(b"\r\n").rpartition(b"\r\n")
    return hashlib.sha256(text + b"\r\n").hexdigest().encode() == digest


class Arrival(NamedTuple):
    """A message that a backend took for one recipient."""
    at: float
    host: str
    address: str
    name: str  # the message's own, or the report's Message-ID
    is_whole: bool
    is_answered: bool  # the backend's 250 was sent


class Ledger:
    """One seed's book."""

    def __init__(self, hosts):
        self.hosts = hosts  # {address: the backend that owns it}
        self.lock = threading.Lock()
        self.attempted, self.accepted = set(), set()  # of (address, name)
        self.arrivals, self.kills = [], []
        self.reports = {}  # {(address, name): the Message-IDs of the reports about it}

    # -- writing -----------------------------------------------------------------
    def attempt(self, addresses, name):
        with self.lock:
            self.attempted.update((address, name) for address in addresses)

    def accept(self, addresses, name):
        with self.lock:
            self.accepted.update((address, name) for address in addresses)

    def kill(self):
        self.kills.append(time.monotonic())

    def arrive(self, host, address, content, is_answered):
        head, _, body = content.partition(b"\r\n\r\n")
        name = re.search(rb"^Subject: (.*)\r$", head + b"\r\n", re.MULTILINE)[1].decode()
        whole = True
        if b"multipart/report" in head:
            name = self.take_report(content)
        else:
            whole = is_whole(body)
        with self.lock:
            self.arrivals.append(Arrival(time.monotonic(), host, address, name, whole, is_answered))

    def take_report(self, content):
        report = email.message_from_bytes(content, policy=policy.default)
        _, status, original = report.iter_parts()
        name = email.message_from_string(original.get_content(), policy=policy.default)["Subject"]
        for recipient in status.get_payload()[1:]:
            address = recipient["Final-Recipient"].rpartition(" ")[2]
            with self.lock:
                self.reports.setdefault((address, name), set()).add(report["Message-ID"])
        return f"report {report['Message-ID']}"

    # -- judging -----------------------------------------------------------------
    def missing(self):
        """What was accepted and has no fate yet."""
        with self.lock:
            arrived = {(arrival.address, arrival.name) for arrival in self.arrivals}
            return self.accepted - arrived - set(self.reports)

    def may_be_lost_answer(self, arrival):
        """True when the answer to this delivery may not have arrived."""
        return not arrival.is_answered or any(-0.1 <= kill - arrival.at <= KILL_WINDOW_S for kill in self.kills)

    def by_fate(self):
        found = {}
        for arrival in sorted(self.arrivals):
            found.setdefault((arrival.address, arrival.name), []).append(arrival)
        return found

    def faults(self):
        """Everything that must not be; empty when all is well."""
        faults = [f"lost: {item}" for item in sorted(self.missing())]
        faults += [f"corrupt: {arrival}" for arrival in self.arrivals if not arrival.is_whole]
        faults += [f"misrouted: {arrival}" for arrival in self.arrivals
                   if self.hosts.get(arrival.address) != arrival.host]
        for item, arrivals in self.by_fate().items():
            if item not in self.attempted and not item[1].startswith("report "):
                faults.append(f"invented: {arrivals}")
            faults += [f"twice without a reason: {arrivals}" for arrival in arrivals[:-1]
                       if not self.may_be_lost_answer(arrival)]
            if item in self.reports and not any(map(self.may_be_lost_answer, arrivals)):
                faults.append(f"delivered and reported as failed: {arrivals}")
        for item, reports in self.reports.items():
            if item not in self.attempted:
                faults.append(f"a report about what was never sent: {item}")
            if len(reports) > 1:
                faults.append(f"reported {len(reports)} times: {item}")
        return faults
