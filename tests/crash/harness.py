# SPDX-License-Identifier: Apache-2.0
"""A frontend that is killed, backends that misbehave, senders that remember every 250."""
import os
import signal
import smtplib
import time

from cluster import Network
from scripted import CLOSE, ClosedError, MailServer, Message, ScriptedCluster, ScriptedFrontend
from threads import Threads

from ledger import Ledger, body_of
from storage import Storage, chance_of

SENDERS = 5
LONGEST_DRAIN_S = 90


class Sink(MailServer):
    """A backend that takes most messages, and writes down what it took before it answers."""

    def __init__(self, name, address, port, certificate):
        super().__init__(address, port, certificate)
        self.name, self.ledger, self.chance = name, None, None
        self.is_good = True
        self.refused, self.late_s = set(), 0  # who is refused for good, and how late each answer comes

    def misbehave(self, seed):
        self.chance, self.is_good = chance_of(seed, self.name), False

    def message(self, connection):
        recipients = list(connection.recipients)
        message = Message(connection, connection.sender, recipients, connection.content(), {})
        for address in recipients:
            self.conclude_one(message, address)

    def conclude_one(self, message, address):
        mood = 1.0 if self.is_good else self.chance.random()
        time.sleep(self.late_s)
        if address in self.refused:
            message.session.say(b"550 5.2.2 mailbox full")
            return
        is_report = message.sender.startswith(b"<>")
        if mood < 0.05:
            message.session.say(b"451 4.2.0 not now")
        elif mood < 0.09 and not is_report:  # a refused report ends there, by RFC 5321
            message.session.say(b"550 5.2.0 never")
        elif mood < 0.15:
            self.ledger.arrive(self.name, address, message.content, False)
            if mood < 0.11:
                time.sleep(self.chance.uniform(0, 3))  # longer than the frontend waits
            raise ClosedError
        else:
            self.take(message, address)

    def take(self, message, address):
        try:
            message.session.say(b"250 2.0.0 Taken")
        except OSError:
            self.ledger.arrive(self.name, address, message.content, False)
            raise
        self.ledger.arrive(self.name, address, message.content, True)

    def command(self, connection, line):
        if not self.is_good and line[:4].upper() == b"RCPT" and self.chance.random() < 0.03:
            connection.say(b"451 4.2.1 not now")
        elif not self.is_good and line[:4].upper() in (b"DATA", b"BDAT") and self.chance.random() < 0.02:
            connection.say(CLOSE)
        else:
            super().command(connection, line)


class CrashFrontend(ScriptedFrontend):
    """A frontend whose queue is on forgetful storage."""

    def __init__(self, name, cluster, address, library):
        super().__init__(name, cluster, address, has_relay_host=False)
        self.storage = Storage(library, cluster.build / "mailstead-frontend", self.queue_folder(), self.folder)
        self.process.environment = {**self.process.environment, **self.storage.environment()}

    def create(self, more=""):
        super().create(more)
        self.storage.create()


class CrashCluster(ScriptedCluster):
    """One frontend with two workers, and three backends that are sinks."""

    def __init__(self, folder, network, build):
        super().__init__(folder, network, build)
        self.workers = 2
        for name, backend in self.backends.items():
            certificate = self.certificates.certificate(name), self.certificates.key(name)
            backend.lmtp = Sink(name, backend.address, Network.LMTP, certificate)
            backend.lmtp.takes_chunks = name == "sv3"
        self.frontends = {"fe1": CrashFrontend("fe1", self, network.address(21),
                                               self.build / "tests" / "crash" / "forgetful.so")}

    def sinks(self):
        return [backend.lmtp for backend in self.backends.values()]


class Senders(Threads):
    """Threads that send until told to stop."""

    def __init__(self, cluster, ledger, accounts, sender, seed):
        self.cluster, self.ledger, self.accounts = cluster, ledger, accounts
        self.sender, self.seed = sender, seed
        super().__init__(range(SENDERS))

    def run(self, number):
        chance, count = chance_of(self.seed, "sender", number), 0
        while not self.is_over.is_set():
            count += 1
            name = f"seed {self.seed} sender {number} message {count}"
            if not self.send(name, chance):
                self.is_over.wait(0.05)

    def send(self, name, chance):
        recipients = [account.address for account in chance.sample(self.accounts, chance.choice((1, 1, 2, 4)))]
        lines = chance.choice((3, 3, 50, 3000))
        self.ledger.attempt(recipients, name)
        try:
            with smtplib.SMTP(self.cluster.frontends["fe1"].address, Network.SMTP, timeout=15) as smtp:
                refused = smtp.sendmail(self.sender, recipients,
                                        f"Subject: {name}\r\n\r\n".encode() + body_of(name, lines))
                self.ledger.accept([address for address in recipients if address not in refused], name)
        except (smtplib.SMTPException, OSError):
            return False  # not accepted, or it is not known: the sender keeps it
        return True


def wait_for(condition, seconds):
    """True when it came true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.005)
    return condition()


class Run:
    """One seed: senders and misbehaving backends under one kind of trouble, then calm, then judgement."""

    def __init__(self, cluster, seed, seconds=3.0):
        self.cluster, self.seed, self.seconds = cluster, seed, seconds
        self.frontend = cluster.frontends["fe1"]
        self.storage = self.frontend.storage
        self.chance = chance_of(seed)
        accounts = [account for host in cluster.backends for account in cluster.accounts_of(host)[:4]]
        self.sender = cluster.accounts_of("sv3")[5]
        self.ledger = Ledger({account.address: account.host for account in [*accounts, self.sender]})
        self.accounts = accounts

    # -- kinds of trouble ----------------------------------------------------------
    def kill_role(self, *roles):
        victims = self.frontend.children(self.chance.choice(roles))
        if victims:
            os.kill(self.chance.choice(victims), signal.SIGKILL)
            self.ledger.kill()

    def trouble_queue(self):
        """The queue process dies; workers keep what they know, so nothing comes twice for that."""
        for pid in self.frontend.children("queue"):
            os.kill(pid, signal.SIGKILL)
        time.sleep(self.chance.uniform(0.3, 0.9))

    def trouble_any(self):
        self.kill_role("queue", "worker", "worker", "directory")
        time.sleep(self.chance.uniform(0.1, 0.6))

    def trouble_point(self):
        """Whoever makes the Nth change of the queue's folder dies before it."""
        self.storage.kill_after(self.chance.randint(1, 60))
        if wait_for(lambda: not self.storage.is_armed(), 1):
            self.ledger.kill()
        time.sleep(self.chance.uniform(0, 0.3))

    def trouble_all(self):
        """The whole frontend dies, and starts again."""
        time.sleep(self.chance.uniform(0.3, 1.0))
        self.frontend.kill()
        self.ledger.kill()
        self.frontend.start()

    def trouble_power(self):
        """The power fails at the Nth change: what was not synced may be gone."""
        time.sleep(self.chance.uniform(0.1, 0.8))
        self.storage.kill_after(self.chance.randint(1, 80), is_cut=True)
        wait_for(lambda: self.storage.get("is_dark"), 1)
        self.power_fails()

    def power_fails(self):
        self.storage.set("is_dark", 1)
        self.frontend.kill()
        self.ledger.kill()  # until here its workers may have delivered
        self.storage.cut(self.chance)
        self.storage.calm()
        self.frontend.start()

    def trouble_full(self):
        """The disk is full for a while; nothing dies."""
        self.storage.set("is_full", 1)
        time.sleep(self.chance.uniform(0.1, 0.8))
        self.storage.set("is_full", 0)
        time.sleep(self.chance.uniform(0.1, 0.5))

    def trouble_away(self):
        """A backend cannot be reached, so that its mail is queued; the queue process dies meanwhile."""
        sink = self.chance.choice(self.cluster.sinks())
        sink.refuse_connections()
        time.sleep(self.chance.uniform(0.2, 0.8))
        self.trouble_queue()
        sink.listen()

    TROUBLES = ("point", "power", "queue", "all", "any", "power", "full", "away")

    # -- the run -------------------------------------------------------------------
    def go(self):
        """What is wrong; empty when all is well."""
        trouble = getattr(self, f"trouble_{self.TROUBLES[self.seed % len(self.TROUBLES)]}")
        for sink in self.cluster.sinks():
            sink.ledger = self.ledger
            sink.misbehave(self.seed)
        with Senders(self.cluster, self.ledger, self.accounts, self.sender.address, self.seed):
            end = time.monotonic() + self.seconds
            while time.monotonic() < end:
                trouble()
        self.calm()
        return self.ledger.faults()

    def calm(self):
        self.storage.calm()
        for sink in self.cluster.sinks():
            sink.listen()
            sink.is_good = True
        wait_for(lambda: not self.ledger.missing() and self.is_drained(), LONGEST_DRAIN_S)

    def is_drained(self):
        answer = self.frontend.admin().run("queue", "stat", "--json")
        return answer.returncode == 0 and '"messages": 0' in answer.stdout

    def summary(self):
        return (f"{len(self.ledger.accepted)} accepted of {len(self.ledger.attempted)}, "
                f"{len(self.ledger.arrivals)} arrivals, {len(self.ledger.reports)} reports, "
                f"{len(self.ledger.kills)} kills")
