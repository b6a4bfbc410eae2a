# SPDX-License-Identifier: Apache-2.0
"""Servers that do what they are told to and write down what they are told: no real store errs on demand.

A script is a set of answers, one for each thing that a server can be asked.  An answer is

    bytes           that are sent, with CRLF put behind them
    CLOSE           the connection is closed
    SILENCE         nothing is said until the peer gives up
    Held(answer)    the answer is given when .release() is called
    Turns(a, b, c)  a at first, then b, then c for ever
    {address: ...}  one for each recipient; the key None is for all others

Whatever the script does not name is answered as a good server would.
"""
import base64
import re
import socket
import ssl
import threading
import time
from typing import NamedTuple

from cluster import Cluster, FrontendDaemon, Network, clients, wait_until
from raw import Raw

CLOSE, SILENCE = "close", "silence"
LONGEST_WAIT_S = 30  # for a peer that should say or close something long before
RECEIVE_BUFFER = 1 << 16


class Held:
    """An answer that comes when it is released."""

    def __init__(self, answer):
        self.answer, self.is_asked, self.is_due = answer, threading.Event(), threading.Event()

    def wait_asked(self):
        assert self.is_asked.wait(LONGEST_WAIT_S), "nobody asked"

    def release(self):
        self.is_due.set()


class Turns:
    """Answers that are given one after the other; the last one again and again."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def next(self):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class ClosedError(Exception):
    """The connection is over."""


class Message(NamedTuple):
    """A message whose final dot arrived."""
    session: object
    sender: bytes  # the argument of MAIL, with its parameters
    recipients: list
    content: bytes  # without the dots that were stuffed
    replies: dict  # {recipient: the reply's first byte, "2", "4" or "5"}


class Connection:
    """One accepted connection: what came, as it came, and what was made of it."""

    def __init__(self, server, connected):
        self.server, self.socket, self.script = server, connected, server.script
        self.received = bytearray()  # everything, byte by byte
        self.buffer = bytearray()    # what is not yet taken
        self.lines = []              # the lines that were taken as commands
        self.credentials = []        # (name, password) of each login that was tried
        self.was_hasty = False       # commands came that had to wait for an answer
        self.chunks = None           # what BDAT brought of the message at hand
        self.accepted_s = time.monotonic()
        self.is_over = threading.Event()
        self.is_secured = False

    def is_probe(self):
        words = {line.upper().rpartition(b" ")[2] for line in self.lines}
        if words & {b"CAPABILITY", b"CAPA"}:
            words -= {b"CAPABILITY", b"CAPA", b"STARTTLS", b"STLS"}
        return words <= {b"QUIT", b"LOGOUT", b"PROBE.INVALID"}

    def run(self):
        try:
            self.socket.settimeout(LONGEST_WAIT_S)
            self.say(self.script.get("greeting", self.server.GREETING))
            self.converse()
        except (ClosedError, OSError, ValueError):
            pass
        finally:
            self.socket.close()
            self.is_over.set()

    def converse(self):
        while True:
            self.server.command(self, self.line())

    # -- what comes ----------------------------------------------------------
    def receive(self):
        try:
            octets = self.socket.recv(RECEIVE_BUFFER)
        except ConnectionError:
            octets = b""
        if not octets:
            raise ClosedError
        self.received += octets
        self.buffer += octets

    def take(self, length):
        taken = bytes(self.buffer[:length])
        del self.buffer[:length]
        return taken

    def line(self):
        while b"\r\n" not in self.buffer:
            self.receive()
        line = self.take(self.buffer.index(b"\r\n") + 2)[:-2]
        self.lines.append(line)
        return line

    def octets(self, count):
        while len(self.buffer) < count:
            self.receive()
        return self.take(count)

    def content(self):
        """What came in chunks; or everything up to the line with the dot, the stuffed dots taken away."""
        if self.chunks is not None:
            content, self.chunks = self.chunks, None
            return content
        at, found = 0, -1
        while not self.buffer.startswith(b".\r\n") and found < 0:
            found = self.buffer.find(b"\r\n.\r\n", at)
            if found < 0:
                at = max(0, len(self.buffer) - 4)
                self.receive()
        end = found + 2 if found >= 0 else 0
        content = self.take(end)
        self.take(3)
        return re.sub(rb"(^|\r\n)\.", rb"\1", content)

    # -- what is answered ----------------------------------------------------
    def choose(self, answer, key=None):
        """The bytes of an answer, when it is due; or the connection is over."""
        if isinstance(answer, dict):
            answer = answer[key] if key in answer else answer.get(None, b"250 2.0.0 Ok")
        if isinstance(answer, Turns):
            return self.choose(answer.next())
        if isinstance(answer, Held):
            answer.is_asked.set()
            assert answer.is_due.wait(LONGEST_WAIT_S), "never released"
            return self.choose(answer.answer)
        if answer == SILENCE:
            while True:
                self.receive()
        if answer == CLOSE:
            raise ClosedError
        return answer

    def say(self, answer, key=None):
        """Gives an answer; what was sent."""
        chosen = self.choose(answer, key)
        self.socket.sendall(chosen + b"\r\n")
        return chosen

    def start_tls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, self.server.certificate))
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.is_secured = True


class ScriptedServer:
    """Listens on an address and answers by its script."""

    GREETING = b""

    def __init__(self, address, port, certificate=None):
        self.address, self.port, self.certificate = address, port, certificate
        self.script, self.connections, self.messages = {}, [], []
        self.listener = None

    def play(self, **script):
        """Answers by this script from the next connection on."""
        self.script = script

    def forget(self):
        """As new: a good server, which knows nothing of what was."""
        self.play()
        self.listen()
        self.connections, self.messages = [], []

    def listen(self):
        if self.listener:
            return
        self.listener = socket.create_server((self.address, self.port), backlog=64)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def refuse_connections(self):
        """Until listen() or forget()."""
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
        self.listener = None

    def accept(self, listener):
        while True:
            try:
                connected, _ = listener.accept()
            except OSError:
                return
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, connected)
            if self.script.get("receive_buffer"):
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.script["receive_buffer"])
            self.connections.append(connection)
            threading.Thread(target=connection.run, daemon=True).start()

    def sessions(self):
        """The connections that were more than a probe."""
        return [connection for connection in self.connections if not connection.is_probe()]

    def command(self, connection, line):
        raise NotImplementedError


class MailServer(ScriptedServer):
    """LMTP, or SMTP when `is_smtp`.

    Script: greeting, hello, extensions, starttls, auth, mail, rcpt {}, data, content, final {},
    behind_final, rset.  `content` is said when the content should come behind DATA, in the place of
    reading it; a threading.Event there is waited for first.
    """

    GREETING = b"220 scripted ready"
    EXTENSIONS = (b"PIPELINING", b"8BITMIME", b"ENHANCEDSTATUSCODES")

    def extensions(self, connection):
        """Of a good server: it wants TLS before a login."""
        extensions = (*self.EXTENSIONS, *([b"CHUNKING"] if self.takes_chunks else []))
        if not connection.is_secured:
            return (*extensions, b"STARTTLS")
        return (*extensions, b"AUTH PLAIN LOGIN") if self.is_smtp else extensions

    def __init__(self, address, port, certificate=None, is_smtp=False):
        super().__init__(address, port, certificate)
        self.is_smtp, self.takes_chunks = is_smtp, False

    def seen(self, address):
        """The contents that came for a recipient, up to the dot, whatever was answered."""
        return [message.content for message in self.messages if address in message.recipients]

    def taken(self, address):
        """The contents that were taken for a recipient: answered by 2xx."""
        return [message.content for message in self.messages if message.replies.get(address) == "2"]

    def command(self, connection, line):
        script = connection.script
        verb = line.split(b" ", 1)[0].upper()
        extensions = script.get("extensions", self.extensions(connection))
        if b"PIPELINING" not in extensions and connection.buffer:
            connection.was_hasty = True
        if verb in (b"LHLO", b"EHLO"):
            connection.say(script.get("hello", b"\r\n".join(
                [b"250-scripted", *[b"250-" + extension for extension in extensions], b"250 HELP"])))
        elif verb == b"STARTTLS":
            connection.say(script.get("starttls", b"220 2.0.0 Go ahead"))
            connection.start_tls()
        elif verb == b"AUTH":
            connection.credentials.append(self.read_login(connection, line))
            connection.say(script.get("auth", b"235 2.7.0 Welcome"))
        elif verb == b"MAIL":
            connection.sender, connection.recipients = line.partition(b":")[2], []
            connection.say(script.get("mail", b"250 2.1.0 Ok"))
        elif verb == b"RCPT":
            address = re.search(rb"<(.*)>", line)[1].decode()
            if connection.say(script.get("rcpt", b"250 2.1.5 Ok"), address).startswith(b"2"):
                connection.recipients.append(address)
        elif verb == b"DATA":
            if connection.say(script.get("data", b"354 Go ahead")).startswith(b"354"):
                self.message(connection)
        elif verb == b"BDAT":
            _, size, *is_last = line.split()
            connection.chunks = (connection.chunks or b"") + connection.octets(int(size))
            if is_last:
                self.message(connection)
            else:
                connection.say(b"250 2.0.0 More")
        elif verb == b"RSET":
            connection.chunks = None
            connection.say(script.get("rset", b"250 2.0.0 Ok"))
        elif verb == b"QUIT":
            connection.say(b"221 2.0.0 Bye")
            raise ClosedError
        else:
            connection.say(b"250 2.0.0 Ok")

    @staticmethod
    def read_login(connection, line):
        if line.upper().startswith(b"AUTH PLAIN "):
            return tuple(base64.b64decode(line.split()[2]).split(b"\0")[1:])
        answers = []
        for prompt in (b"334 VXNlcm5hbWU6", b"334 UGFzc3dvcmQ6"):
            connection.say(prompt)
            answers.append(base64.b64decode(connection.line()))
        return tuple(answers)

    def message(self, connection):
        script, gate = connection.script, connection.script.get("content")
        if isinstance(gate, threading.Event):
            gate.wait(LONGEST_WAIT_S)
        elif gate and connection.chunks is None:
            connection.receive()
            connection.say(gate)
        message = Message(connection, connection.sender, list(connection.recipients), connection.content(), {})
        self.messages.append(message)
        final = script.get("final", b"250 2.0.0 Taken")
        if self.is_smtp:
            self.conclude(message, message.recipients, connection.choose(final))
        else:
            for address in message.recipients:
                self.conclude(message, [address], connection.choose(final, address))
        if "behind_final" in script:
            connection.say(script["behind_final"])

    @staticmethod
    def conclude(message, addresses, reply):
        """Writes the reply down before it is sent: whoever has it may look for it at once."""
        message.replies.update({address: reply[:1].decode() for address in addresses})
        message.session.say(reply)


class ImapServer(ScriptedServer):
    """Script: greeting, starttls, id, login, command; in an answer %t stands for the command's tag."""

    GREETING = b"* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN ID] scripted"

    def command(self, connection, line):
        tag, verb, rest = (line.split(b" ", 2) + [b"", b""])[:3]
        script, verb = connection.script, verb.upper()
        if verb == b"ID":
            connection.say(script.get("id", b"* ID NIL\r\n" + tag + b" OK"))
        elif verb in (b"LOGIN", b"AUTHENTICATE"):
            connection.credentials.append(self.read_login(connection, verb, rest))
            answer = script.get("login", b"%t OK [CAPABILITY IMAP4rev1 SCRIPTED] welcome")
            while isinstance(answer, Turns):
                answer = answer.next()
            connection.say(answer.replace(b"%t", tag) if isinstance(answer, bytes) else answer)
        elif verb == b"STARTTLS":
            connection.say(script.get("starttls", b"%t OK go ahead").replace(b"%t", tag))
            connection.start_tls()
        elif verb == b"LOGOUT":
            connection.say(b"* BYE\r\n" + tag + b" OK")
            raise ClosedError
        else:
            connection.say(script.get("command", b"%t OK done").replace(b"%t", tag))

    @staticmethod
    def read_login(connection, verb, rest):
        if verb == b"LOGIN":
            words = [re.sub(rb"\\(.)", rb"\1", word) for word in re.findall(rb'"((?:[^"\\]|\\.)*)"', rest)]
            return words[0], words[1]
        response = rest.partition(b" ")[2]
        if not response:
            connection.say(b"+ ")
            response = connection.line()
        return tuple(base64.b64decode(response).split(b"\0")[1:])


class Pop3Server(ScriptedServer):
    """Script: greeting, starttls, user, login, command."""

    GREETING = b"+OK scripted"

    def command(self, connection, line):
        verb, _, argument = line.partition(b" ")
        script, verb = connection.script, verb.upper()
        if verb == b"USER":
            connection.name = argument
            connection.say(script.get("user", b"+OK"))
        elif verb == b"PASS":
            connection.credentials.append((connection.name, argument))
            connection.say(script.get("login", b"+OK welcome"))
        elif verb == b"AUTH":
            response = argument.partition(b" ")[2]
            if not response:
                connection.say(b"+ ")
                response = connection.line()
            connection.credentials.append(tuple(base64.b64decode(response).split(b"\0")[1:]))
            connection.say(script.get("login", b"+OK welcome"))
        elif verb == b"STLS":
            connection.say(script.get("starttls", b"+OK go ahead"))
            connection.start_tls()
        elif verb == b"QUIT":
            connection.say(b"+OK bye")
            raise ClosedError
        else:
            connection.say(script.get("command", b"+OK done"))


class ScriptedBackend:
    """The three servers of a backend.  The mail server of sv3 alone takes content in chunks."""

    def __init__(self, name, address, certificates):
        certificate = certificates.certificate(name), certificates.key(name)
        self.name, self.address = name, address
        self.lmtp = MailServer(address, Network.LMTP, certificate)
        self.lmtp.takes_chunks = name == "sv3"
        self.imap = ImapServer(address, Network.IMAP, certificate)
        self.pop3 = Pop3Server(address, Network.POP3, certificate)

    def servers(self):
        return [self.lmtp, self.imap, self.pop3]


FRONTEND = """\
backend_tls {{
    transport = "{backend_tls}"
    verify = true
    ca = "{ca}"
}}
queue {{
    directory = "{queue}"
    retry_min_s = 1
    retry_max_s = 1
    unknown_delay_s = {unknown_delay_s}
}}
smtp {{
    bare_line_endings = "{bare_line_endings}"
    reused_connections = {reused_connections}
    verified_at_a_time = {verified_at_a_time}
}}
health {{
    probe_interval_ms = {probe_interval_ms}
    failures = {failures}
    ramp_s = {ramp_s}
    ramp_first = {ramp_first}
}}
timeouts {{
    connect_s = 2
    backend_s = {backend_s}
    data_end_s = {backend_s}
    command_s = {command_s}
    login_hold_s = {login_hold_s}
}}
limits {{
    trusted_networks = {{ "127.0.0.0/8" }}
}}
"""
# Short deadlines; no backend is ever down, no connection is used twice, and nobody waits for having erred.
SETTINGS = {"bare_line_endings": "refuse", "backend_s": 2, "command_s": 300, "login_hold_s": 2, "reused_connections": 0, "verified_at_a_time": 100,
            "probe_interval_ms": 500, "failures": 100, "ramp_s": 10, "ramp_first": 20}

RELAY_HOST = """\
relay_host {{
    address = "{address}"
    port = {port}
    tls = "starttls"
    ca = "{ca}"
    user = "{user}"
    password_file = "{password_file}"
}}
"""

# An entry without a backend that matches relay_filter.
FORWARD = """\
dn: uid={name},ou=people,dc=example,dc=org
objectClass: inetOrgPerson
objectClass: mailsteadAccount
uid: {name}
cn: {name}
sn: {name}
mail: {name}@example.org
employeeType: forward
"""

BALANCED = 2526  # of fe3: a load balancer says whose connection it is
RELAY_USER, RELAY_PASSWORD = b"mx@example.org", b"relay-s3cret \"with\" \\everything"
UNKNOWN_DELAY_S = 2  # after a lost reply
PER_HOUR = 10  # recipients of a user, at the frontend with two workers
PEER_PORTS = {"proxied": Network.SMTP + 1, "filtered": Network.SMTP + 2}


class ScriptedFrontend(FrontendDaemon):
    """A frontend before scripted backends; `settings` are those of SETTINGS that are to be different."""

    def __init__(self, name, cluster, address, backend_tls="off", has_relay_host=True, submission="", **settings):
        super().__init__(name, cluster, address)
        self.backend_tls, self.has_relay_host = backend_tls, has_relay_host
        self.submission = submission
        self.settings = {**SETTINGS, **settings}
        # Freed memory is not kept long, so that a bound on a process's size means something.
        self.process.environment = {**self.process.environment,
                                    "ASAN_OPTIONS": self.process.environment["ASAN_OPTIONS"]
                                    + ":quarantine_size_mb=4:malloc_context_size=5"}

    def directory_text(self):
        return '    relay_filter = "(employeeType=forward)"\n'

    def own_text(self):
        cluster = self.cluster
        user = '    default_domain = "example.org"\n    mechanisms = { "PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER" }\n'
        login = '    default_domain = "example.org"\n    plaintext_allowed = true\n'
        text = FRONTEND.format(backend_tls=self.backend_tls, ca=cluster.certificates.ca,
                               queue=self.queue_folder(), unknown_delay_s=UNKNOWN_DELAY_S, **self.settings)
        if self.has_relay_host:
            text += RELAY_HOST.format(address=cluster.relay.address, port=cluster.relay.port,
                                      ca=cluster.certificates.ca, user=RELAY_USER.decode(),
                                      password_file=cluster.relay_secret)
        if self.name == "fe3":
            text += self.listener("lmtp", "lmtp", Network.LMTP, "off", f'    xclient_from = {{ "{self.address}" }}\n')
            text += self.listener("balanced", "smtp", BALANCED, "off", f'    proxy_protocol_from = {{ "{self.address}" }}\n')
        return text + self.submission + "".join([
            self.listener("mx", "smtp", Network.SMTP, "starttls"),
            self.listener("submission", "submission", Network.SUBMISSION, "starttls", user),
            self.listener("submissions", "submission", Network.SUBMISSIONS, "implicit", user),
            self.listener("imap", "imap", Network.IMAP, "starttls", login),
            self.listener("pop3", "pop3", Network.POP3, "starttls", login)])

    def queue(self):
        """{recipient: what `queue list` says of it and of its message}."""
        return {recipient["address"]: {**message, **recipient}
                for message in self.admin().json("queue", "list") for recipient in message["recipients"]}

    def await_empty_queue(self):
        wait_until(lambda: not self.queue(), f"the queue of {self.name} is empty", 20, 0.05)


class ScriptedCluster(Cluster):
    """A real slapd and real frontends; the backends and the relay host are scripted.

    fe1 has a relay host, fe2 has none and is patient, fe3 speaks TLS to the backends and converts bare
    line ends.  fe3 takes LMTP too, from a server that may say XCLIENT.
    """

    def __init__(self, folder, network, build):
        super().__init__(folder, network, build, account_count=2400, frontends=(), workers=1, backend_tls="off")
        self.relay_secret = self.folder / "relay.secret"
        self.backends = {name: ScriptedBackend(name, backend.address, self.certificates)
                         for name, backend in self.backends.items()}
        relay_certificate = self.certificates.certificate("relay"), self.certificates.key("relay")
        self.relay = MailServer(network.address(31), Network.SMTP, relay_certificate, is_smtp=True)
        self.frontends = {
            "fe1": ScriptedFrontend("fe1", self, network.address(21)),
            "fe2": ScriptedFrontend("fe2", self, network.address(22), has_relay_host=False, backend_s=30,
                                    submission="submission {\n    verify = ldap\n    hides_client = true\n}\n"),
            "fe3": ScriptedFrontend("fe3", self, network.address(23), backend_tls="starttls",
                                   bare_line_endings="convert")}

    def servers(self):
        return [*(server for backend in self.backends.values() for server in backend.servers()), self.relay]

    def create(self):
        self.certificates.create({
            "ldap": [self.slapd.address], "relay": [self.relay.address], "wrong": ["wrong.example.com"],
            **{name: [member.address] for name, member in [*self.backends.items(), *self.frontends.items()]}})
        self.relay_secret.write_bytes(RELAY_PASSWORD)
        self.relay_secret.chmod(0o600)
        self.slapd.create(self.accounts)
        for frontend in self.frontends.values():
            frontend.create()

    def start(self):
        for server in self.servers():
            server.listen()
        self.slapd.start()
        for frontend in self.frontends.values():
            frontend.launch()
        for frontend in self.frontends.values():
            frontend.process.wait_ready()

    def processes(self):
        return [self.slapd.process, *(frontend.process for frontend in self.frontends.values())]

    def stop(self):
        stubborn = [frontend.name for frontend in self.frontends.values() if not frontend.stop()]
        for server in self.servers():
            server.refuse_connections()
        return stubborn + ([] if self.slapd.process.stop() else ["slapd"])


class ReturningCluster(ScriptedCluster):
    """One frontend with two workers, for which backends go down soon and come back up a ramp."""

    RAMP_S, RAMP_FIRST = 5, 10

    def __init__(self, folder, network, build):
        super().__init__(folder, network, build)
        self.workers = 2
        self.frontends = {"fe1": ScriptedFrontend(
            "fe1", self, network.address(21), has_relay_host=False, probe_interval_ms=300, failures=3,
            login_hold_s=60, ramp_s=self.RAMP_S, ramp_first=self.RAMP_FIRST,
            submission=f"submission {{\n    recipients_per_hour = {PER_HOUR}\n}}\n")}


class PeeredFrontend(ScriptedFrontend):
    """Also listens behind a balancer and behind a filter, which are believed."""

    def own_text(self):
        believed = {"proxied": ["proxy_protocol_from", "xclient_from"], "filtered": ["xclient_from"]}
        return super().own_text() + "".join(
            self.listener(kind, "smtp", PEER_PORTS[kind], "off",
                          "".join(f'    {option} = {{ "127.0.0.0/8" }}\n' for option in options))
            for kind, options in believed.items())


class ReusingCluster(ScriptedCluster):
    """Frontends that use connections to backends again: fe1 in plain text, fe2 inside TLS."""

    def __init__(self, folder, network, build):
        super().__init__(folder, network, build)
        self.frontends = {
            "fe1": PeeredFrontend("fe1", self, network.address(21), reused_connections=10),
            "fe2": ScriptedFrontend("fe2", self, network.address(22), backend_tls="starttls",
                                    reused_connections=10)}


# -- a client ------------------------------------------------------------------
class Answers(NamedTuple):
    """What a client was told: by recipient, to DATA (b"" when it was not said), to the end."""
    mail: bytes
    recipients: list
    data: bytes
    final: bytes


def stuffed(content):
    return re.sub(rb"(^|\r\n)\.", rb"\1..", content) + b".\r\n"


def begin(server, recipients, sender=clients.STRANGER, parameters=""):
    """A connection on which MAIL, RCPT and DATA were said, and the answers."""
    raw = Raw(server.address, Network.SMTP, seconds=LONGEST_WAIT_S)
    raw.reply()
    raw.ask_smtp(b"EHLO client.example.com")
    mail = raw.ask_smtp(f"MAIL FROM:<{sender}>{parameters}".encode())
    replies = [raw.ask_smtp(f"RCPT TO:<{recipient}>".encode()) for recipient in recipients]
    data = raw.ask_smtp(b"DATA") if any(reply.startswith(b"250") for reply in replies) else b""
    return raw, Answers(mail, replies, data, b"")


def submit(server, recipients, content, sender=clients.STRANGER, parameters=""):
    """Sends one message as a patient client does; all the answers."""
    raw, answers = begin(server, recipients, sender, parameters)
    with raw:
        if not answers.data.startswith(b"354"):
            return answers
        raw.send(stuffed(content))
        return answers._replace(final=raw.reply())
