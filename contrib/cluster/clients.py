# SPDX-License-Identifier: Apache-2.0
"""Mail clients, made of Python's own: what a user's program does, in one call each."""
import imaplib
import poplib
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import make_msgid

from .accounts import DOMAIN
from .network import Network

TIMEOUT = 30
REFUSALS = (imaplib.IMAP4.error, poplib.error_proto, OSError)  # of a login, for whatever reason
TRACE = (b"return-path:", b"delivered-to:", b"received:", b"x-original-to:")
STRANGER = "stranger@example.com"  # a sender somewhere on the Internet


def trusting(cluster):
    """A TLS context that trusts the cluster's own CA and nothing else."""
    return ssl.create_default_context(cafile=str(cluster.certificates.ca))


def make_message(subject, recipients, body="Hello.\n", sender=STRANGER):
    """A message as bytes with CRLF line ends."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Subject"] = subject
    message["Message-ID"] = make_msgid(domain=DOMAIN)
    message.set_content(body)
    return message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def send(server, recipients, message, sender=STRANGER, port=Network.SMTP, tls=None):
    """Hands `message` to the SMTP server; the refused recipients, as smtplib gives them."""
    with smtplib.SMTP(server.address, port, timeout=TIMEOUT) as smtp:
        smtp.ehlo("client.example.com")
        if tls:
            smtp.starttls(context=tls)
            smtp.ehlo("client.example.com")
        return smtp.sendmail(sender, recipients, message)


def imap_login(server, account, tls=None, implicit=None, port=None, name=None, password=None):
    """A logged-in IMAP connection: plain, STARTTLS with `tls`, or TLS at once with `implicit`."""
    if implicit:
        imap = imaplib.IMAP4_SSL(server.address, port or Network.IMAPS, ssl_context=implicit, timeout=TIMEOUT)
    else:
        imap = imaplib.IMAP4(server.address, port or Network.IMAP, timeout=TIMEOUT)
    try:
        if tls:
            imap.starttls(tls)
        imap.login(name or account.address, password or account.password)
    except BaseException:
        imap.shutdown()
        raise
    return imap


def imap_messages(imap):
    """The messages in the INBOX, as bytes."""
    imap.select("INBOX")
    numbers = imap.uid("SEARCH", "ALL")[1][0].split()
    return [imap.uid("FETCH", number, "(BODY.PEEK[])")[1][0][1] for number in numbers]


def pop3_login(server, account, tls=None, implicit=None, port=None, name=None, password=None):
    """A logged-in POP3 connection, as imap_login."""
    if implicit:
        pop = poplib.POP3_SSL(server.address, port or Network.POP3S, context=implicit, timeout=TIMEOUT)
    else:
        pop = poplib.POP3(server.address, port or Network.POP3, timeout=TIMEOUT)
    try:
        if tls:
            pop.stls(context=tls)
        pop.user(name or account.address)
        pop.pass_(password or account.password)
    except BaseException:
        pop.close()
        raise
    return pop


def pop3_messages(pop):
    """All messages, as bytes with CRLF line ends."""
    return [b"".join(line + b"\r\n" for line in pop.retr(number)[1])
            for number in range(1, pop.stat()[0] + 1)]


def read_by_imap(server, account, **how):
    imap = imap_login(server, account, **how)
    try:
        return imap_messages(imap)
    finally:
        imap.logout()


def read_by_pop3(server, account, **how):
    pop = pop3_login(server, account, **how)
    try:
        return pop3_messages(pop)
    finally:
        pop.quit()


def refusal(server, account, **how):
    """What the IMAP server says to a login that it refuses; "" when it does not."""
    try:
        imap_login(server, account, **how).logout()
        return ""
    except REFUSALS as answer:
        return str(answer)


def subjects(messages):
    """The subjects of messages, sorted."""
    found = []
    for message in messages:
        head = message.partition(b"\r\n\r\n")[0].split(b"\r\n")
        found += [line[9:].decode() for line in head if line.lower().startswith(b"subject: ")]
    return sorted(found)


def without_trace(message):
    """The message without the trace headers that stand on top of it."""
    lines = message.split(b"\r\n")
    while lines and lines[0].lower().startswith(TRACE):
        lines.pop(0)
        while lines and lines[0].startswith((b" ", b"\t")):
            lines.pop(0)
    return b"\r\n".join(lines)


def smtp_answer(server, recipient, port=Network.SMTP, protocol=smtplib.SMTP):
    """The reply to RCPT TO this recipient, like b"550 5.1.1 ..."."""
    with protocol(server.address, port, timeout=60) as smtp:
        smtp.ehlo("client.example.com")
        smtp.mail(STRANGER)
        code, text = smtp.rcpt(recipient)
        return b"%d %s" % (code, text)


def lmtp_answer(server, recipient, port=Network.LMTP):
    return smtp_answer(server, recipient, port, smtplib.LMTP)
