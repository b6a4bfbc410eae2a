# SPDX-License-Identifier: Apache-2.0
"""Only CRLF.CRLF ends a message, whatever stands around a dot: refused or converted, by DATA and by BDAT."""
import re

import pytest

from cluster import Network
from raw import Raw
from scripted import LONGEST_WAIT_S

ENDS = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r.\n", b"\n.\r", b"\r\n.\n\r\n", b"\r\n.\r\r\n",
        b"\n\n.\r\n", b"\r\r\n\n.\r\n", b"\n\r.\r\n", b"\r\n\n.\n\r\n", b"\n..\r\n", b"\r..\r\n"]
SMUGGLED = b"MAIL FROM:<admin@example.org>\r\nRCPT TO:<%s>\r\nDATA\r\nevil\r\n"


def names(octets):
    return octets.replace(b"\r", b"CR ").replace(b"\n", b"LF ").decode()


def converted(content):
    """Each line end as CRLF; a dot is only taken off where a line began with it on the wire."""
    parts = re.split(rb"(\r\n|\r|\n)", content)
    lines = []
    for at in range(0, len(parts), 2):
        is_line = at > 0 and parts[at - 1] == b"\r\n"
        lines.append(parts[at][1:] if is_line and parts[at].startswith(b".") else parts[at])
    return b"\r\n".join(lines)


def without_trace(content):
    return re.sub(rb"\A(?:[A-Za-z-]+: [^\r]*\r\n(?:[ \t][^\r]*\r\n)*)*\r\n", b"", content, count=1)


def begin(server, account):
    raw = Raw(server.address, Network.SMTP, seconds=LONGEST_WAIT_S)
    raw.reply()
    raw.ask_smtp(b"EHLO client.example.com")
    raw.ask_smtp(b"MAIL FROM:<a@example.com>")
    assert raw.ask_smtp(b"RCPT TO:<" + account.address.encode() + b">").startswith(b"250")
    return raw


def send_by_data(raw, body, is_cut):
    assert raw.ask_smtp(b"DATA").startswith(b"354")
    wire = b"\r\n" + body + b"\r\n.\r\n"
    for piece in [wire[i:i + 1] for i in range(len(wire))] if is_cut else [wire]:
        raw.send(piece)
    return raw.reply()


def send_by_chunks(raw, body, is_cut):
    """The chunks are whole, or of one byte each; all are sent before an answer is read."""
    wire = b"\r\n" + body + b"\r\n"
    chunks = [wire[i:i + 1] for i in range(len(wire))] if is_cut else [wire]
    for chunk in chunks:
        raw.send(b"BDAT %d\r\n" % len(chunk) + chunk)
    raw.send(b"BDAT 0 LAST\r\n")
    return [raw.reply() for _ in range(len(chunks) + 1)][-1]


@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("end", ENDS, ids=names)
def test_what_is_no_end_is_refused_or_converted(stage, unused, end, is_cut):
    lmtp = stage.backends["sv1"].lmtp
    for name, send in (("fe1", send_by_data), ("fe1", send_by_chunks), ("fe3", send_by_data), ("fe3", send_by_chunks)):
        account, victim = unused("sv1", 2)
        body = b"text" + end + (b"" if is_cut else SMUGGLED % victim.address.encode())
        lmtp.messages.clear()
        with begin(stage.frontends[name], account) as raw:
            answer = send(raw, body, is_cut)
            assert raw.ask_smtp(b"NOOP") == b"250 2.0.0 Ok"  # as many answers came as are due
        if name == "fe1":
            assert answer[:1] == b"5" and lmtp.messages == []
            continue
        assert answer == b"250 2.0.0 Taken"
        message, = lmtp.messages
        assert message.recipients == [account.address]
        expected = converted(b"\r\n" + body + b"\r\n") if send is send_by_data else re.sub(
            rb"\r\n|\r|\n", b"\r\n", b"\r\n" + body + b"\r\n")
        assert without_trace(message.content) == expected[2:]
