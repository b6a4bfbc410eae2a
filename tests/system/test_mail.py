# SPDX-License-Identifier: Apache-2.0
"""Mail in by SMTP at the frontends, out by the backends' LMTP, queued where a backend is down."""
import email
import smtplib
import threading

import pytest

from cluster import Network, clients, wait_until
from raw import Raw

def send_at(server, account, subject, **more):
    message = clients.make_message(subject, [account.address], **more)
    assert clients.send(server, [account.address], message) == {}
    return message


@pytest.mark.parametrize("host", ["sv1", "sv2", "sv3"])
def test_mail_arrives_byte_identical(frontend, fresh, arrives, host):
    account = fresh(host)
    body = "".join(f"line {number}: äöü . .. trailing  \n" for number in range(50)) + ".\n..\n.hidden\n"
    message = send_at(frontend, account, "identical", body=body)
    arrived = arrives(account, "identical")
    assert clients.without_trace(arrived) == message
    assert arrived.lower().startswith(b"return-path: <stranger@example.com>")
    assert arrived.count(f"by {frontend.hostname()}".encode()) == 1


@pytest.mark.parametrize("size", [0, 1, 1000, 60_000, 300_000, 3_000_000])
def test_any_size_arrives_byte_identical(fe1, fresh, arrives, size):
    account = fresh("sv1")
    line = b"0123456789" * 7 + b"\r\n"
    message = b"Subject: sized\r\n\r\n" + line * (size // len(line)) + b"." * (size % len(line))
    message += b"" if message.endswith(b"\r\n") else b"\r\n"
    assert clients.send(fe1, [account.address], message) == {}
    assert clients.without_trace(arrives(account, "sized")) == message


def test_mail_comes_in_over_starttls(frontend, fresh, arrives, tls):
    account = fresh("sv2")
    message = clients.make_message("secure", [account.address])
    assert clients.send(frontend, [account.address], message, tls=tls) == {}
    arrives(account, "secure")


def test_8bit_and_binary_looking_bodies_arrive(fe1, fresh, arrives):
    account = fresh("sv3")
    octets = bytes(byte for byte in range(1, 256) if byte not in (10, 13))
    message = b"Subject: eight\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + octets + b"\r\n"
    with smtplib.SMTP(fe1.address, Network.SMTP, timeout=30) as smtp:
        smtp.ehlo()
        assert smtp.has_extn("8bitmime")
        smtp.sendmail("a@example.com", [account.address], message, ["BODY=8BITMIME"])
    assert clients.without_trace(arrives(account, "eight")) == message


def test_one_message_to_several_backends(frontend, fresh, arrives):
    accounts = [account for host in ("sv1", "sv2", "sv3") for account in fresh(host, 2)]
    addresses = [account.address for account in accounts]
    message = clients.make_message("everywhere", addresses)
    assert clients.send(frontend, addresses, message) == {}
    for account in accounts:
        assert clients.without_trace(arrives(account, "everywhere")) == message
    wait_until(lambda: not frontend.admin().queued(*accounts), "nothing waits in the queue")


def test_addresses_with_detail_alias_and_case_arrive_at_the_account(fe1, fresh, arrives):
    account = fresh("sv1")
    for number, address in enumerate((f"{account.uid}+lists@example.org", account.alias,
                                      account.address.upper())):
        assert clients.send(fe1, [address], clients.make_message(f"form {number}", [address])) == {}
        arrives(account, f"form {number}")


def test_many_messages_in_one_session(fe2, fresh, arrives):
    accounts = [fresh("sv1"), fresh("sv2")]
    with smtplib.SMTP(fe2.address, Network.SMTP, timeout=30) as smtp:
        for number in range(20):
            account = accounts[number % 2]
            smtp.sendmail("a@example.com", [account.address],
                          clients.make_message(f"message {number}", [account.address]))
    for number in range(20):
        arrives(accounts[number % 2], f"message {number}")


def test_recipients_that_do_not_exist(fe1, fresh):
    with Raw(fe1.address, Network.SMTP) as raw:
        raw.reply()
        raw.ask_smtp(b"EHLO client.example.com")
        raw.ask_smtp(b"MAIL FROM:<a@example.com>")
        assert raw.ask_smtp(b"RCPT TO:<no-such-user@example.org>").startswith(b"550 5.1.1 ")
        assert raw.ask_smtp(b"RCPT TO:<someone@elsewhere.example>").startswith(b"550 5.7.1 ")
        assert raw.ask_smtp(b"RCPT TO:<" + fresh("sv1").address.encode() + b">").startswith(b"250 ")
        assert raw.ask_smtp(b"QUIT").startswith(b"221 ")


def test_a_recipient_whom_the_store_alone_does_not_know_is_refused_for_now_with_an_alarm(cluster, fe1, fresh):
    account = fresh("sv2")
    label(cluster, account, LOCKED)
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        send_at(fe1, account, "refused")
    assert refused.value.recipients[account.address][0] == 451
    cluster.backends["sv2"].daemon.await_event(f"event=store_knows_no_account account={account.address} code=550")


def test_a_message_that_the_store_refuses_is_refused_at_once(cluster, fe1, fresh):
    account = fresh("sv2")
    label(cluster, account, FULL)
    with pytest.raises(smtplib.SMTPDataError) as refused:
        send_at(fe1, account, "refused")
    assert refused.value.smtp_code == 552


def test_bare_postmaster_is_accepted(cluster, fe1):
    with Raw(fe1.address, Network.SMTP) as raw:
        raw.reply()
        raw.ask_smtp(b"EHLO client.example.com")
        raw.ask_smtp(b"MAIL FROM:<a@example.com>")
        cluster.slapd.add(POSTMASTER)
        wait_until(lambda: raw.ask_smtp(b"RCPT TO:<Postmaster>").startswith(b"250 "), "postmaster is accepted", 10)


POSTMASTER = """\
dn: uid=postmaster,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
objectClass: mailsteadAccount
uid: postmaster
cn: postmaster
sn: postmaster
mail: postmaster@example.org
hostServer: sv1
"""


def test_the_session_commands_of_smtp(fe1):
    with Raw(fe1.address, Network.SMTP) as raw:
        assert raw.reply().startswith(b"220 " + fe1.hostname().encode())
        extensions = raw.ask_smtp(b"EHLO client.example.com").split(b"\n")
        for keyword in (b"SIZE", b"PIPELINING", b"8BITMIME", b"ENHANCEDSTATUSCODES", b"STARTTLS"):
            assert any(line[4:].split()[0] == keyword for line in extensions), keyword
        assert raw.ask_smtp(b"NOOP").startswith(b"250 ")
        assert raw.ask_smtp(b"VRFY user1").startswith(b"252 ")
        assert raw.ask_smtp(b"RCPT TO:<user1@example.org>").startswith(b"503 ")
        assert raw.ask_smtp(b"DATA").startswith(b"503 ")
        assert raw.ask_smtp(b"RSET").startswith(b"250 ")
        assert raw.ask_smtp(b"HELO client.example.com").startswith(b"250 ")
        assert raw.ask_smtp(b"QUIT").startswith(b"221 ")
        assert raw.line() == b""


def test_pipelined_commands_are_answered_in_order(fe1, fresh, arrives):
    account = fresh("sv3")
    with Raw(fe1.address, Network.SMTP) as raw:
        raw.reply()
        raw.ask_smtp(b"EHLO client.example.com")
        raw.send(b"MAIL FROM:<a@example.com>\r\nRCPT TO:<nobody-here@example.org>\r\nRCPT TO:<"
                 + account.address.encode() + b">\r\nDATA\r\n")
        assert [raw.reply()[:3] for _ in range(4)] == [b"250", b"550", b"250", b"354"]
        raw.send(b"Subject: pipelined\r\n\r\nbody\r\n.\r\nQUIT\r\n")
        assert [raw.reply()[:3] for _ in range(2)] == [b"250", b"221"]
    arrives(account, "pipelined")


# -- a backend that is down ------------------------------------------------------
def test_mail_for_a_dead_backend_waits_and_arrives_when_it_returns(frontend, fresh, arrives, down):
    account, other = fresh("sv3"), fresh("sv2")
    backend = down("sv3")
    message = send_at(frontend, account, "patience")
    send_at(frontend, other, "unaffected")
    arrives(other, "unaffected")
    assert account.address in frontend.admin().text("queue", "list")
    backend.start()
    assert clients.without_trace(arrives(account, "patience", frontend)) == message
    wait_until(lambda: not frontend.admin().queued(account), "nothing waits in the queue")


def test_a_large_message_waits_too(fe1, fresh, arrives, down):
    account = fresh("sv3")
    backend = down("sv3")
    message = send_at(fe1, account, "large and patient", body="0123456789" * 6 + "\n" + "line\n" * 400_000)
    backend.start()
    assert clients.without_trace(arrives(account, "large and patient", fe1)) == message


def test_of_several_recipients_only_those_of_the_dead_backend_wait(fe2, fresh, arrives, down):
    alive, waiting = fresh("sv1"), fresh("sv3")
    backend = down("sv3")
    addresses = [alive.address, waiting.address]
    assert clients.send(fe2, addresses, clients.make_message("split", addresses)) == {}
    arrives(alive, "split")
    backend.start()
    arrives(waiting, "split")
    wait_until(lambda: not fe2.admin().queued(alive, waiting), "nothing waits in the queue")
    for account in (alive, waiting):
        assert clients.subjects(clients.read_by_imap(fe2, account)) == ["split"]


def test_a_frontend_that_restarts_keeps_its_queue(fe2, fresh, arrives, down):
    account = fresh("sv3")
    backend = down("sv3")
    send_at(fe2, account, "kept")
    assert fe2.stop()
    fe2.start()
    wait_until(lambda: account.address in fe2.admin().run("queue", "list").stdout, "it is queued still", 10)
    backend.start()
    arrives(account, "kept")


def test_a_permanent_refusal_after_queueing_is_reported_to_the_sender(cluster, fe1, fresh, down):
    sender, recipient = fresh("sv1"), fresh("sv3")
    backend = down("sv3")
    assert clients.send(fe1, [recipient.address], clients.make_message("doomed", [recipient.address]),
                        sender=sender.address) == {}
    label(cluster, recipient, FULL)
    backend.start()
    report = wait_until(lambda: clients.read_by_imap(fe1, sender), "a failure report arrives", 30, 0.1)[0]
    assert report.lower().startswith(b"return-path: <>")
    parsed = email.message_from_bytes(report)
    assert parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "delivery-status"
    assert parsed["Auto-Submitted"].startswith("auto-replied")
    human, status, original = parsed.get_payload()
    assert human.get_content_type() == "text/plain" and recipient.address in human.get_payload()
    message_fields, recipient_fields = status.get_payload()
    assert message_fields["Reporting-MTA"] == f"dns; {fe1.hostname()}"
    assert recipient_fields["Final-Recipient"].lower() == f"rfc822; {recipient.address}"
    assert recipient_fields["Action"] == "failed"
    assert recipient_fields["Status"] == "5.2.2"
    assert recipient_fields["Diagnostic-Code"].startswith("smtp; 552")
    assert original.get_content_type() in ("message/rfc822", "text/rfc822-headers")
    assert b"Subject: doomed" in report


def test_no_report_goes_to_the_null_sender(cluster, fe1, fresh, down):
    recipient = fresh("sv3")
    backend = down("sv3")
    assert clients.send(fe1, [recipient.address], clients.make_message("bounce", [recipient.address]),
                        sender="") == {}
    label(cluster, recipient, FULL)
    backend.start()
    wait_until(lambda: not fe1.admin().queued(recipient), "nothing waits in the queue")


LOCKED = "add: employeeType\nemployeeType: locked\n"
FULL = "add: roomNumber\nroomNumber: maildir:User quota\n-\nadd: employeeNumber\nemployeeNumber: *:bytes=1\n"


def label(cluster, account, changes):
    """The directory still routes it, but its store says that there is no such account (LOCKED), or no room (FULL)."""
    cluster.slapd.modify(f"dn: {account.dn}\nchangetype: modify\n{changes}")
    cluster.replica.wait_for_provider()


def test_nothing_is_lost_under_load(cluster, fresh):
    """Four clients send 200 messages at both frontends while a backend dies and returns."""
    accounts = [fresh(host) for host in ("sv1", "sv2", "sv3")]
    sent, troubles = [], []

    def send_many(number):
        server = list(cluster.frontends.values())[number % 2]
        try:
            with smtplib.SMTP(server.address, Network.SMTP, timeout=60) as smtp:
                for count in range(50):
                    account = accounts[count % 3]
                    subject = f"load {number} {count}"
                    smtp.sendmail("a@example.com", [account.address],
                                  clients.make_message(subject, [account.address]))
                    sent.append((account, subject))
        except (smtplib.SMTPException, OSError) as trouble:
            troubles.append(trouble)

    threads = [threading.Thread(target=send_many, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(sent) > 40 or troubles, "some messages are sent")
    cluster.backends["sv2"].kill()
    wait_until(lambda: len(sent) > 120 or troubles, "more messages are sent")
    cluster.backends["sv2"].start()
    for thread in threads:
        thread.join()
    assert not troubles
    for account in accounts:
        wanted = {subject for owner, subject in sent if owner == account}

        def all_there():
            try:
                return wanted <= set(clients.subjects(clients.read_by_imap(cluster.frontends["fe1"], account)))
            except clients.REFUSALS:
                return False

        wait_until(all_there, f"all of {len(wanted)} messages arrive at {account.address}", 60, 0.2)
