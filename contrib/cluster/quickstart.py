# SPDX-License-Identifier: Apache-2.0
"""What contrib/quickstart does once everything is built: start, demonstrate, stop, status."""
import argparse
import os
import shutil
import smtplib
import sys
import time
from pathlib import Path

from . import clients
from .cluster import Cluster
from .network import Network
from .process import TroubleError, wait_until

FIRST_NETWORK = "127.40.7"
KEPT = (".mailstead-own", "source", "build", "packages.log", "build.log")  # what a second run uses again


def say(text=""):
    try:
        print(text, flush=True)
    except BrokenPipeError:  # who reads only the first lines gets no traceback
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None


def title(text):
    say(f"\n== {text}")


def expect(is_true, trouble):
    if not is_true:
        raise TroubleError(trouble)


# -- the folder ----------------------------------------------------------------
def network_file(folder):
    return folder / "network"


def make_cluster(folder, prefix):
    return Cluster(folder, Network(prefix), folder / "build",
                   siblings={"sv1": ["sv2", "sv3"], "sv2": ["sv3", "sv1"], "sv3": ["sv1", "sv2"]})


def existing_cluster(folder):
    """The cluster of an earlier run, or None."""
    try:
        return make_cluster(folder, network_file(folder).read_text().strip())
    except FileNotFoundError:
        return None


def clear(folder):
    for entry in folder.iterdir():
        if entry.name not in KEPT:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


# -- start, stop, status ----------------------------------------------------------------
def start(folder):
    """What was stopped or killed, with the files that it had; False when there never was anything."""
    cluster = existing_cluster(folder)
    if cluster is None:
        say(f"no cluster was started in {folder}")
        return False
    for process in cluster.processes():
        if not process.is_running():
            process.start()
            say(f"started {process.name}")
    say("everything runs")
    return True


def stop(folder):
    cluster = existing_cluster(folder)
    running = [] if cluster is None else [process for process in cluster.processes() if process.is_running()]
    if not running:
        say("nothing runs")
        return
    killed = cluster.stop()
    say(f"stopped {len(running)} servers" + (f"; had to kill {', '.join(killed)}" if killed else ""))
    say(f"their files are still in {folder}")


def status(folder):
    """True when everything runs."""
    cluster = existing_cluster(folder)
    if cluster is None:
        say(f"no cluster was started in {folder}")
        return False
    dead = 0
    for process in cluster.processes():
        dead += not process.is_running()
        say(f"{process.name:24} " + (f"runs, process {process.pid}" if process.is_running()
                                     else f"does not run; see {process.log_file}"))
    if dead == 0:
        how_to_connect(cluster)
    return dead == 0


# -- run -------------------------------------------------------------------------
def run(folder, has_demonstration):
    earlier = existing_cluster(folder)
    if earlier:
        earlier.stop()
    clear(folder)
    network = Network.find(FIRST_NETWORK)
    network_file(folder).write_text(network.prefix + "\n")
    cluster = make_cluster(folder, network.prefix)
    title("The cluster")
    say("making certificates, and an LDAP server with 1,000 accounts: user1 to user1000")
    cluster.create()
    say("starting slapd (and a replica, which the mail stores ask), three backends\n"
        "(Dovecot and mailstead-backend each) and two frontends")
    cluster.start()
    for account in cluster.accounts[:3]:
        for frontend in cluster.frontends.values():
            wait_until(lambda f=frontend, a=account: f.serves(a),
                       f"{account.address} can log in at {frontend.name}", 20, 0.1)
    for name, backend in cluster.backends.items():
        say(f"  backend {name} at {backend.address}: {len(cluster.accounts_of(name))} accounts")
    for name, frontend in cluster.frontends.items():
        say(f"  frontend {name} at {frontend.address}")
    if has_demonstration:
        Demonstration(cluster).run()
    how_to_connect(cluster)


class Demonstration:
    """A day in the life of the cluster; each step is verified, and trouble ends it."""

    HAD = ["by fe1", "by fe2", "to all three"]  # subjects, of each of three people, in order

    def __init__(self, cluster):
        self.cluster = cluster
        self.fe1, self.fe2 = cluster.frontends["fe1"], cluster.frontends["fe2"]
        self.people = cluster.accounts[:3]  # user1 on sv1, user2 on sv2, user3 on sv3
        self.tls = clients.trusting(cluster)

    def run(self):
        self.send_mail()
        self.read_mail()
        self.submit_mail()
        self.lose_backend()
        self.fail_over()
        self.fail_back()

    def send(self, frontend, people, subject):
        refused = clients.send(frontend, [account.address for account in people],
                               clients.make_message(subject, [account.address for account in people]))
        expect(not refused, f"{frontend.name} refused {refused}")

    def read(self, account, read_with, frontend, **how):
        return clients.subjects(read_with(frontend, account, **how))

    def await_subjects(self, account, wanted, frontend, seconds=30):
        """Waits until `account` has exactly these subjects, read by IMAP and by POP3 at `frontend`."""
        wanted = sorted(wanted)
        for name, read_with in (("IMAP", clients.read_by_imap), ("POP3", clients.read_by_pop3)):
            found = []

            def is_there():
                try:
                    found[:] = self.read(account, read_with, frontend)
                except clients.REFUSALS as refusal:
                    found[:] = [f"({refusal})"]
                return found == wanted

            try:
                wait_until(is_there, f"{wanted} by {name} at {frontend.name}", seconds, 0.1)
            except TroubleError:
                raise TroubleError(f"{account.address} should have {wanted} by {name} at "
                                   f"{frontend.name}, but has {found}") from None

    def send_mail(self):
        title("Mail comes in, at either frontend, for accounts on every backend")
        for frontend in (self.fe1, self.fe2):
            for account in self.people:
                self.send(frontend, [account], f"by {frontend.name}")
                say(f"  SMTP at {frontend.name}: 250 for {account.address}, who lives on {account.host}")
        self.send(self.fe2, self.people, "to all three")
        say(f"  SMTP at {self.fe2.name}: 250 for one message to all three, on three backends")

    def read_mail(self):
        title("Everyone reads mail at either frontend")
        wanted = self.HAD
        for account in self.people:
            for frontend in (self.fe1, self.fe2):
                self.await_subjects(account, wanted, frontend)
            imap = self.read(account, clients.read_by_imap, self.fe1, implicit=self.tls)
            pop3 = self.read(account, clients.read_by_pop3, self.fe2, tls=self.tls)
            expect(imap == pop3 == wanted, f"{account.address} has {imap} by IMAPS but {pop3} by POP3")
            say(f"  {account.address}: three messages by IMAP and POP3 at fe1 and fe2, "
                "in the clear, with STARTTLS and over TLS")

    def submit_mail(self):
        sender, recipient = self.people[1], self.people[2]
        title("A user logs in to send mail, as nobody but himself")
        message = clients.make_message("from a user", [recipient.address], sender=sender.address)
        with smtplib.SMTP(self.fe1.address, Network.SUBMISSION, timeout=30) as smtp:
            smtp.starttls(context=self.tls)
            smtp.ehlo()
            code = smtp.mail(recipient.address)[0]
            expect(code == 530, f"{self.fe1.name} says {code} to MAIL of one who has not logged in")
            smtp.login(sender.address, sender.password)
            code = smtp.mail(recipient.address)[0]
            expect(code == 553, f"{self.fe1.name} says {code} to {sender.address} who sends as {recipient.address}")
            smtp.sendmail(sender.address, [recipient.address], message)
        self.await_subjects(recipient, [*self.HAD, "from a user"], self.fe2)
        say(f"  submission at {self.fe1.name}: {sender.address} logs in, and {recipient.address} reads the message")

    def lose_backend(self):
        victim, others = self.people[0], self.people[1:]
        title("sv1 dies: kill -9 of its Dovecot and its mailstead-backend")
        self.cluster.backends["sv1"].kill()
        for frontend in (self.fe1, self.fe2):
            self.send(frontend, [victim], f"while sv1 was dead, by {frontend.name}")
            say(f"  SMTP at {frontend.name}: 250 for {victim.address}; the message waits in {frontend.name}'s queue:")
            queue = frontend.admin().text("queue", "list")
            expect(victim.address in queue, f"the queue of {frontend.name} does not show it:\n{queue}")
            say(indent(f"$ mailstead queue list\n{queue}"))
        answer = clients.refusal(self.fe1, victim)
        expect("[UNAVAILABLE]" in answer, f"{victim.address} should be refused temporarily, but got: {answer}")
        say(f"  {victim.address} cannot log in now, and is told to try again later, not that the password is wrong")
        for account in others:
            self.send(self.fe1, [account], "all is well")
            more = ["from a user"] if account is self.people[2] else []
            self.await_subjects(account, ["all is well", *self.HAD, *more], self.fe2)
            say(f"  {account.address} on {account.host} notices nothing: mail comes in and is read")

    def fail_over(self):
        victim = self.people[0]
        title("By one command sv2 takes over: it attaches sv1's storage and gets sv1's accounts")
        refused = self.fe1.admin().run("failover", "sv1")
        expect(refused.returncode != 0 and self.cluster.slapd.hosts(victim.address) == ("sv1", None),
               f"nothing may move while sv1 might still run:\n{refused.stdout}{refused.stderr}")
        say("  without a fence, and without a word that sv1 is off, nothing moves; with that word:")
        before = time.monotonic()
        printed = self.fe1.admin().text("failover", "sv1", "--is-off", "sv1")
        seconds = time.monotonic() - before
        say(indent(f"$ mailstead failover sv1 --is-off sv1\n{printed}"))
        expect(self.cluster.slapd.hosts(victim.address) == ("sv2", "sv1"),
               f"the directory does not say that {victim.address} is on sv2 with its mail on sv1's storage")
        before = time.monotonic()
        self.await_subjects(victim, self.all_mail(), self.fe1)
        say(f"  done in {seconds:.1f} s; {time.monotonic() - before:.1f} s later the queued mail "
            "had arrived at sv2")
        self.await_subjects(victim, self.all_mail(), self.fe2)
        say(f"  {victim.address} reads old and new mail at either frontend, served by sv2")

    def all_mail(self):
        return [*self.HAD, "while sv1 was dead, by fe1", "while sv1 was dead, by fe2"]

    def fail_back(self):
        victim = self.people[0]
        title("sv1 is repaired and gets its accounts back")
        sv1 = self.cluster.backends["sv1"]
        sv1.dovecot.start()
        sv1.daemon.launch()
        answer = ""

        def is_refused():
            nonlocal answer
            answer = clients.refusal(sv1.daemon, victim, tls=self.tls)
            return "[UNAVAILABLE" in answer

        wait_until(is_refused, "sv1 refuses what is sv2's now", 20, 0.1)
        say("  sv1 runs again, and refuses for now what is not its own")
        printed = self.fe1.admin().text("failback", "sv1")
        say(indent(f"$ mailstead failback sv1\n{printed}"))
        expect(self.cluster.slapd.hosts(victim.address) == ("sv1", None),
               f"the directory does not say that {victim.address} is back on sv1")
        self.send(self.fe2, [victim], "home again")
        for frontend in (self.fe1, self.fe2):
            self.await_subjects(victim, [*self.all_mail(), "home again"], frontend)
            host = frontend.admin().json("lookup", victim.address)[0]["host"]
            expect(host == "sv1", f"{frontend.name} still routes {victim.address} to {host}")
        say(f"  {victim.address} is served by sv1 again, with all mail, and new mail arrives there")


def indent(text):
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines())


# -- how to connect ----------------------------------------------------------------
def connection_commands(cluster):
    """[(what for, [command lines])]: each line works when pasted into a shell."""
    fe1, fe2 = cluster.frontends["fe1"], cluster.frontends["fe2"]
    ca, account, n = cluster.certificates.ca, cluster.accounts[0], Network
    curl = f"curl --cacert {ca} --user {account.address}:{account.password}"
    openssl = f"openssl s_client -quiet -crlf -CAfile {ca}"
    mailstead = f"{cluster.build}/mailstead -c {fe1.configuration}"
    return [
        ("Send a message", [
            f"swaks --server {fe1.address} --port {n.SMTP} --tls --from you@example.com --to {account.address}"]),
        ("Send one as a user, who logs in", [
            f"swaks --server {fe1.address} --port {n.SUBMISSION} --tls --auth PLAIN --auth-user {account.address}"
            f" --auth-password {account.password} --from {account.address} --to {cluster.accounts[1].address}"]),
        ("Read it", [
            f"{curl} 'imaps://{fe2.address}:{n.IMAPS}/INBOX;MAILINDEX=1'",
            f"{curl} pop3s://{fe1.address}:{n.POP3S}/1"]),
        ("Speak the protocols (end with QUIT or LOGOUT)", [
            f"{openssl} -connect {fe1.address}:{n.POP3S}",
            f"{openssl} -connect {fe2.address}:{n.IMAP} -starttls imap",
            f"{openssl} -connect {fe2.address}:{n.SMTP} -starttls smtp"]),
        ("Administrate", [
            f"{mailstead} status",
            f"{mailstead} plan",
            f"{mailstead} lookup {account.address} --why"])]


def connection_lines(cluster):
    return [line for _, lines in connection_commands(cluster) for line in lines]


def how_to_connect(cluster):
    fe1, fe2 = cluster.frontends["fe1"], cluster.frontends["fe2"]
    n = Network
    title("It stays up; try it")
    say(f"""\
A mail client:   server {fe1.address} or {fe2.address}; name user1@example.org to
                 user{len(cluster.accounts)}@example.org, password secret1 to secret{len(cluster.accounts)}
                 IMAP {n.IMAP} (STARTTLS), IMAPS {n.IMAPS}, POP3 {n.POP3} (STARTTLS), POP3S {n.POP3S}
                 SMTP {n.SMTP} (STARTTLS; takes mail for example.org, without a login)
                 Submission {n.SUBMISSION} (STARTTLS), {n.SUBMISSIONS} (TLS): takes a user's mail, after a login
                 The certificates are signed by {cluster.certificates.ca}""")
    for purpose, lines in connection_commands(cluster):
        say(f"\n{purpose}:")
        for line in lines:
            say(f"  {line}")
    say(f"""
Logs, configuration and mail are in {cluster.folder}.  Kill what you like, look, start it again, and end it:""")
    for action in ("--status", "--start", "--stop"):
        say(f"  {command(action, cluster.folder)}")


def command(action, folder):
    is_default = str(folder).startswith("/tmp/mailstead-quickstart-")
    return f"contrib/quickstart {action}" + ("" if is_default else f" --dir {folder}")


def main():
    parser = argparse.ArgumentParser(prog="contrib/quickstart")
    parser.add_argument("action", choices=("run", "start", "stop", "status"))
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--no-demo", action="store_true")
    options = parser.parse_args()
    try:
        if options.action == "run":
            run(options.dir, not options.no_demo)
        elif options.action == "start":
            return 0 if start(options.dir) else 1
        elif options.action == "stop":
            stop(options.dir)
        else:
            return 0 if status(options.dir) else 1
    except TroubleError as trouble:
        say(f"\nFAILED: {trouble}")
        say(f"What runs still runs ({command('--stop', options.dir)} ends it); the logs are in {options.dir}/log")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
