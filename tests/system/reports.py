# SPDX-License-Identifier: Apache-2.0
"""Reports (RFC 3464), read as a program of the sender would."""
import email
from email import policy
from typing import NamedTuple

from cluster import wait_until


class Report(NamedTuple):
    header: object   # the report's own header
    words: str       # for a person
    message: dict    # the fields of the message
    recipients: dict  # {recipient: its fields}
    original: object  # the message: its header, or all of it

    @property
    def failures(self):
        """{recipient: (status, diagnostic code)}, of a report that is about failures alone."""
        assert all(fields["Action"] == "failed" for fields in self.recipients.values())
        return {recipient: (fields["Status"], fields["Diagnostic-Code"])
                for recipient, fields in self.recipients.items()}


def status_blocks(part):
    """The blocks of fields in a part of RFC 3464 or of RFC 6533, which the library does not know."""
    if part.get_content_type() == "message/delivery-status":
        return part.get_payload()
    text = part.get_payload(0).as_bytes(policy=policy.SMTPUTF8).decode()
    return [email.message_from_string(block, policy=policy.SMTPUTF8) for block in text.strip().split("\r\n\r\n")]


def parse_report(octets, original_type="text/rfc822-headers", is_utf8=False):
    """Takes a report apart, whose form must be exactly that of RFC 6522 and RFC 3464 (or 6533)."""
    report = email.message_from_bytes(octets, policy=policy.default)
    assert not report.defects and report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    assert report["Auto-Submitted"].startswith("auto-replied")
    assert report["Message-ID"] and report["Date"] and report["MIME-Version"] == "1.0"
    words, status, original = report.iter_parts()
    assert words.get_content_type() == "text/plain" and not words.defects
    assert status.get_content_type() == ("message/global-delivery-status" if is_utf8 else "message/delivery-status")
    assert original.get_content_type() == original_type
    message, *recipients = status_blocks(status)
    found = {}
    for recipient in recipients:
        assert recipient["Action"] in ("failed", "delayed", "delivered", "relayed")
        kind, _, address = recipient["Final-Recipient"].partition("; ")
        assert kind == ("rfc822" if address.isascii() else "utf-8")
        assert (recipient["Original-Recipient"] or address).partition("; ")[2] in words.get_content()
        assert recipient["Status"][0] in {"failed": "45", "delayed": "4"}.get(recipient["Action"], "2")
        found[address] = dict(recipient.items())
    assert len(found) == len(recipients)
    if original_type.endswith("headers"):
        returned = email.message_from_bytes(original.get_payload(decode=True)
                                            or original.get_payload(0).as_bytes(), policy=policy.default)
    else:
        returned = original.get_payload(0)
    return Report(report, words.get_content(), dict(message.items()), found, returned)


def await_reports(server, address, count=1):
    """Waits until so many reports to `address` came to a scripted server; they must come from <>."""
    wait_until(lambda: len(server.taken(address)) >= count, f"{count} reports to {address}", 20)
    for message in server.messages:
        assert address not in message.recipients or message.sender.startswith(b"<>")
    return server.taken(address)
