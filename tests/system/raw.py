# SPDX-License-Identifier: Apache-2.0
"""A connection that says exactly the bytes it is told to, for what no decent client does."""
import socket
import ssl

from cluster import Network


def log_in(frontend, account):
    """A connection with an IMAP session of `account`."""
    raw = Raw(frontend.address, Network.IMAP)
    raw.line()
    answer = raw.ask(b"a LOGIN %s %s" % (account.uid.encode(), account.password.encode()))
    assert answer.startswith(b"a OK"), answer
    return raw


class Raw:
    def __init__(self, address, port, tls=None, seconds=20, source=None):
        self.socket = socket.create_connection((address, port), seconds, (source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=address)
        self.buffer = b""

    @classmethod
    def over(cls, connection):
        """On a socket that is connected already."""
        raw = cls.__new__(cls)
        raw.socket, raw.buffer = connection, b""
        return raw

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, octets):
        self.socket.sendall(octets)

    def line(self):
        """The next line without its end; b"" at the end of the stream or a reset."""
        while b"\n" not in self.buffer:
            try:
                octets = self.socket.recv(65536)
            except (ConnectionError, ssl.SSLError):
                octets = b""
            if not octets:
                line, self.buffer = self.buffer, b""
                return line
            self.buffer += octets
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def reply(self):
        """The next SMTP reply, its lines joined."""
        lines = [self.line()]
        while lines[-1][3:4] == b"-":
            lines.append(self.line())
        return b"\n".join(lines)

    def ask(self, octets):
        """Sends a line and gives the next line."""
        self.send(octets + b"\r\n")
        return self.line()

    def ask_tagged(self, tag, octets):
        """Sends an IMAP command; all lines up to its tagged answer."""
        self.send(tag + b" " + octets + b"\r\n")
        return self.until(tag + b" ")

    def ask_smtp(self, octets):
        self.send(octets + b"\r\n")
        return self.reply()

    def until(self, start):
        """Lines up to the one that begins with `start`; b"" last at the end of the stream."""
        lines = [self.line()]
        while lines[-1] and not lines[-1].startswith(start):
            lines.append(self.line())
        return lines

    def rest(self):
        """Everything up to the end of the stream."""
        everything = self.buffer
        self.buffer = b""
        while True:
            try:
                octets = self.socket.recv(65536)
            except ConnectionError:
                return everything
            if not octets:
                return everything
            everything += octets
