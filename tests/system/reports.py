# SPDX-License-Identifier: Apache-2.0
"""Failure reports (RFC 3464), read as a program of the sender would."""
import email
from email import policy
from typing import NamedTuple

from cluster import wait_until


class Report(NamedTuple):
    header: object   # the report's own header
    words: str       # for a person
    message: dict    # the fields of the message
    failures: dict   # {recipient: (status, diagnostic code)}
    original: object  # the header of the message that failed


def parse_report(octets):
    """Takes a report apart, whose form must be exactly that of RFC 6522 and RFC 3464."""
    report = email.message_from_bytes(octets, policy=policy.default)
    assert not report.defects and report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    assert report["Auto-Submitted"].startswith("auto-replied")
    assert report["Message-ID"] and report["Date"] and report["MIME-Version"] == "1.0"
    words, status, original = report.iter_parts()
    assert words.get_content_type() == "text/plain" and status.get_content_type() == "message/delivery-status"
    assert original.get_content_type() == "text/rfc822-headers"
    message, *recipients = status.get_payload()
    for recipient in recipients:
        assert recipient["Action"] == "failed"
        assert recipient["Final-Recipient"].lower().startswith("rfc822; ")
        assert recipient["Final-Recipient"][8:] in words.get_content()
    return Report(report, words.get_content(), dict(message.items()),
                  {recipient["Final-Recipient"][8:]: (recipient["Status"], recipient["Diagnostic-Code"])
                   for recipient in recipients},
                  email.message_from_string(original.get_content(), policy=policy.default))


def await_reports(server, address, count=1):
    """Waits until so many reports to `address` came to a scripted server; they must come from <>."""
    wait_until(lambda: len(server.taken(address)) >= count, f"{count} reports to {address}", 20)
    for message in server.messages:
        assert address not in message.recipients or message.sender.startswith(b"<>")
    return server.taken(address)
