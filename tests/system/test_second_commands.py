# SPDX-License-Identifier: Apache-2.0
"""No line break in any parameter of any command makes a second command at a backend."""
import re

import pytest

from cluster import Network, wait_until
from raw import Raw
from scripted import LONGEST_WAIT_S

BREAKS = {"CR": b"\r", "LF": b"\n", "CRLF": b"\r\n", "LF CR": b"\n\r", "CR CR LF": b"\r\r\n", "NUL": b"\0",
          "xtext": b"+0D+0A", "quoted": b"\\\r\\\n", "percent": b"%0D%0A"}
INJECTED = b"RCPT TO:<injected@example.org>"
CONTENT = b"Subject: x\r\n\r\nbody\r\n.\r\n"
# The commands of a session, in each of which %b stands for the break and what should not be a command.
EHLO, MAIL, RCPT = b"EHLO client.example.com", b"MAIL FROM:<sender@example.com>", b"RCPT TO:<%a>"
PLACES = {
    "EHLO": (b"EHLO client%b", MAIL, RCPT),
    "HELO": (b"HELO client%b", MAIL, RCPT),
    "a local part": (EHLO, b"MAIL FROM:<a%b@example.com>", RCPT),
    "a quoted local part": (EHLO, b'MAIL FROM:<"a%b"@example.com>', RCPT),
    "a domain": (EHLO, b"MAIL FROM:<a@example%b.com>", RCPT),
    "an address literal": (EHLO, b"MAIL FROM:<a@[IPv6:::1%b]>", RCPT),
    "a source route": (EHLO, b"MAIL FROM:<@x%b,@y:a@example.com>", RCPT),
    "behind the path": (EHLO, MAIL + b"%b", RCPT),
    "SIZE": (EHLO, MAIL + b" SIZE=10%b", RCPT),
    "BODY": (EHLO, MAIL + b" BODY=8BITMIME%b", RCPT),
    "AUTH": (EHLO, MAIL + b" AUTH=<>%b", RCPT),
    "RET": (EHLO, MAIL + b" RET=HDRS%b", RCPT),
    "ENVID": (EHLO, MAIL + b" ENVID=id%b", RCPT),
    "SMTPUTF8": (EHLO, MAIL + b" SMTPUTF8%b", RCPT),
    "a detail": (EHLO, MAIL, b"RCPT TO:<%u+x%b@example.org>"),
    "a quoted recipient": (EHLO, MAIL, b'RCPT TO:<"%u%b"@example.org>'),
    "a recipient's domain": (EHLO, MAIL, b"RCPT TO:<%u@example.org%b>"),
    "behind the recipient": (EHLO, MAIL, RCPT + b"%b"),
    "ORCPT": (EHLO, MAIL, RCPT + b" ORCPT=rfc822;x%b"),
    "NOTIFY": (EHLO, MAIL, RCPT + b" NOTIFY=SUCCESS%b"),
    "HELP": (EHLO, MAIL, RCPT, b"HELP x%b"),
    "NOOP": (EHLO, MAIL, RCPT, b"NOOP x%b"),
    "XCLIENT": (EHLO, b"XCLIENT ADDR=192.0.2.1%b", EHLO, MAIL, RCPT),
}
# What a good frontend says to a backend; a path has no control character, not even quoted.
PATH = rb"<[^\x00-\x1f\x7f]*>"
PARAMETERS = rb"(?: [A-Z0-9]+(?:=[!-~\x80-\xff]+)?)*"
GOOD_LINE = re.compile(rb"LHLO [A-Za-z0-9.-]+|MAIL FROM:" + PATH + PARAMETERS + rb"|RCPT TO:" + PATH + PARAMETERS
                       + rb"|DATA|RSET|QUIT|NOOP")
WITH_ALL = (b"PIPELINING", b"8BITMIME", b"ENHANCEDSTATUSCODES", b"DSN", b"SIZE", b"SMTPUTF8")


@pytest.fixture
def fe1(stage):
    return stage.frontends["fe1"]


@pytest.fixture
def lmtp(stage):
    stage.backends["sv1"].lmtp.play(extensions=WITH_ALL)
    return stage.backends["sv1"].lmtp


def talk(server, account, commands, injected):
    """Says the commands, each when all before are answered, and sends the content where it is asked for."""
    with Raw(server.address, Network.SMTP, seconds=LONGEST_WAIT_S) as raw:
        raw.reply()
        for command in commands:
            line = command.replace(b"%a", account.address.encode()).replace(b"%u", account.uid.encode())
            raw.send(line.replace(b"%b", injected) + b"\r\nVRFY end\r\n")
            while (reply := raw.reply()) and not reply.startswith(b"252"):
                pass
        if raw.ask_smtp(b"DATA").startswith(b"354"):
            raw.send(CONTENT)
            raw.reply()


def assert_nothing_injected(server, account):
    for session in server.sessions():
        for line in session.lines:
            assert GOOD_LINE.fullmatch(line), line
            assert not line.startswith((b"RCPT", b"LHLO")) or b"injected@" not in line.split(b">")[0], line
        assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", bytes(session.received)), bytes(session.received)
    for message in server.messages:
        assert [recipient.partition("+")[0] for recipient in message.recipients] in (
            [account.uid], [account.address]), message.recipients


@pytest.mark.parametrize("is_away", [False, True], ids=["cut through", "queued"])
@pytest.mark.parametrize("place", PLACES)
def test_a_break_in_a_parameter_makes_no_second_command(fe1, lmtp, unused, place, is_away):
    account = unused("sv1")
    if is_away:
        lmtp.refuse_connections()
    for octets in BREAKS.values():
        talk(fe1, account, PLACES[place], octets + INJECTED)
        talk(fe1, account, PLACES[place], octets + INJECTED + octets)
    lmtp.listen()
    wait_until(lambda: not fe1.queue(), "the queue is empty", 30, 0.05)
    assert_nothing_injected(lmtp, account)


def test_a_break_that_is_encoded_is_refused_where_a_report_would_show_it(fe1, unused):
    """RFC 3461 section 4: what xtext stands for is printable."""
    account = unused("sv1")
    with Raw(fe1.address, Network.SMTP, seconds=LONGEST_WAIT_S) as raw:
        raw.reply()
        raw.ask_smtp(EHLO)
        assert raw.ask_smtp(MAIL + b" ENVID=id+0D+0AX-Injected:+20envid").startswith(b"501")
        assert raw.ask_smtp(MAIL).startswith(b"250")
        recipient = f"RCPT TO:<{account.address}>".encode()
        assert raw.ask_smtp(recipient + b" ORCPT=rfc822;x+0D+0AX-Injected:+20orcpt").startswith(b"501")
        assert raw.ask_smtp(recipient).startswith(b"250")
