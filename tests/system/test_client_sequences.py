# SPDX-License-Identifier: Apache-2.0
"""What a graphical mail client says in IMAP, to Dovecot itself and through a frontend: the same, word for word.

Each server gets an account of its own with the same mail.  Numbers that differ from mailbox to mailbox,
and times, are left out; everything else must be equal.
"""
import base64
import re
import zlib

import pytest

from cluster import Network
from raw import Raw

FOLDER = b'"Entw&APw-rfe &- mehr"'  # RFC 3501 section 5.1.3, with "&" as it stands for itself
LETTER = (b"From: a@example.com\r\nTo: b@example.org\r\nSubject: %s\r\n"
          b"Message-ID: <%s@example.com>\r\nDate: Sat, 01 Jan 2022 00:00:00 +0000\r\n\r\nGood day.\r\n")
VARIES = [(rb"(UIDVALIDITY|HIGHESTMODSEQ|MODSEQ \(|CHANGEDSINCE|UIDNEXT) ?\d+", rb"\1 N"),
          (rb"(APPENDUID|COPYUID) \d+", rb"\1 N"), (rb"\(\d+\.\d+ \+ \d+\.\d+(?: \+ \d+\.\d+)? secs\)", b"(T)"),
          (rb"MODSEQ \d+", b"MODSEQ N")]


class Conversation(Raw):
    """An IMAP connection that keeps what was answered, and may be compressed (RFC 4978)."""

    def __init__(self, server, account, tls):
        super().__init__(server.address, server.imaps, tls)
        self.inflate = self.deflate = None
        self.heard = []
        self.count = 0
        self.line()  # the greeting is each server's own
        self.say(b"AUTHENTICATE PLAIN " + plain(account), keeps=False)

    def send(self, octets):
        if self.deflate:
            octets = self.deflate.compress(octets) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        super().send(octets)

    def line(self):
        if not self.inflate:
            return super().line()
        while b"\n" not in self.buffer:
            octets = self.socket.recv(65536)
            if not octets:
                return b""
            self.buffer += self.inflate.decompress(octets)
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.rstrip(b"\r")

    def say(self, command, keeps=True):
        """One command; its answer up to the tagged line, which must be OK."""
        self.count += 1
        tag = b"t%d" % self.count
        self.send(tag + b" " + command + b"\r\n")
        return self.answer(tag, keeps)

    def answer(self, tag, keeps=True):
        lines = [self.line()]
        while not lines[-1].startswith(tag + b" "):
            assert lines[-1] or len(lines) < 200, f"the connection ended: {lines}"
            lines.append(self.line())
        assert lines[-1].startswith(tag + b" OK"), lines[-1]
        if keeps:
            self.heard += lines
        return lines

    def append(self, mailbox, flags, letter, synchronises):
        """APPEND with a literal that waits for leave, or does not (RFC 7888)."""
        self.count += 1
        tag = b"t%d" % self.count
        head = tag + b" APPEND " + mailbox + b" " + flags + b' "01-Jan-2022 00:00:00 +0000" '
        if synchronises:
            self.send(head + b"{%d}\r\n" % len(letter))
            assert self.line().startswith(b"+")
            self.send(letter + b"\r\n")
        else:
            self.send(head + b"{%d+}\r\n" % len(letter) + letter + b"\r\n")
        self.answer(tag)

    def compress(self):
        self.say(b"COMPRESS DEFLATE")
        self.deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        self.inflate = zlib.decompressobj(-15)

    def script(self):
        """What was heard, without what differs from mailbox to mailbox."""
        text = b"\n".join(self.heard)
        for pattern, instead in VARIES:
            text = re.sub(pattern, instead, text)
        return text.decode("latin-1").splitlines()


def plain(account):
    return base64.b64encode(f"\0{account.address}\0{account.password}".encode())


def letter(number):
    return LETTER % (b"letter %d" % number, b"%d" % number)


def find_folders(client):
    client.say(b"CAPABILITY")
    client.say(b'ID ("name" "Thunderbird" "version" "115.0")')
    client.say(b"ENABLE CONDSTORE")
    client.say(b"NAMESPACE")
    client.say(b"CREATE " + FOLDER)
    client.say(b"SUBSCRIBE " + FOLDER)
    client.say(b'LIST "" "*" RETURN (SUBSCRIBED CHILDREN SPECIAL-USE)')
    client.say(b'LIST (SUBSCRIBED) "" ("INBOX" "Entw*") RETURN (STATUS (MESSAGES UNSEEN))')
    client.say(b'LSUB "" "*"')


def work_with_mail(client):
    client.append(b"INBOX", b"(\\Seen)", letter(1), synchronises=True)
    client.append(b"INBOX", b"()", letter(2), synchronises=False)
    client.append(FOLDER, b"(\\Draft)", letter(3), synchronises=False)
    client.say(b"SELECT INBOX (CONDSTORE)")
    client.say(b"UID FETCH 1:* (UID FLAGS MODSEQ RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT MESSAGE-ID)])")
    client.say(b"UID STORE 1 +FLAGS (\\Flagged $Forwarded)")
    client.say(b"UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1)")
    client.say(b"UID FETCH 2 (BODY[] ENVELOPE BODYSTRUCTURE)")
    client.say(b"UID MOVE 2 " + FOLDER)
    client.say(b"UID SEARCH RETURN (ALL COUNT) 1:*")
    client.say(b"STATUS " + FOLDER + b" (MESSAGES UNSEEN UIDNEXT)")
    client.say(b"UNSELECT")
    client.say(b"SELECT " + FOLDER)
    client.say(b'UID SORT (REVERSE SUBJECT) UTF-8 ALL')
    client.say(b'UID THREAD REFERENCES UTF-8 ALL')
    client.say(b"UID EXPUNGE 1:*")


def idle(client, other):
    """A letter that somebody else puts there shows while the client waits, and with nobody asking."""
    client.say(b"SELECT INBOX")
    client.send(b"idle IDLE\r\n")
    assert client.line().startswith(b"+")
    other.append(b"INBOX", b"()", letter(4), synchronises=False)
    while not client.line().endswith(b" EXISTS"):
        pass
    client.send(b"DONE\r\n")
    client.answer(b"idle", keeps=False)


def converse(server, account, tls):
    with Conversation(server, account, tls) as client, Conversation(server, account, tls) as other:
        find_folders(client)
        work_with_mail(client)
        idle(client, other)
        client.compress()
        client.say(b"UID FETCH 1:* (UID FLAGS BODY.PEEK[])")
        client.say(b"LOGOUT")
        return client.script()


@pytest.fixture(scope="module")
def at_dovecot(cluster, fresh, dovecot, tls):
    return converse(dovecot, fresh("sv1"), tls)


@pytest.fixture(scope="module")
def dovecot(cluster):
    class Direct:
        address = cluster.backends["sv1"].address
        imaps = Network.STORE_IMAPS
    return Direct


@pytest.mark.parametrize("name", ["fe1", "fe2"])
def test_a_graphical_client_hears_what_dovecot_says(cluster, fresh, tls, at_dovecot, name):
    class Proxied:
        address = cluster.frontends[name].address
        imaps = Network.IMAPS
    assert converse(Proxied, fresh("sv1"), tls) == at_dovecot
    assert any("COMPRESS=DEFLATE" in line for line in at_dovecot)
    assert any("* 1 FETCH" in line and "$Forwarded" in line for line in at_dovecot)
