# SPDX-License-Identifier: Apache-2.0
"""Programs that people use, against a frontend and against Dovecot itself: the same result."""
import hashlib
import os
import ssl
import subprocess
from types import SimpleNamespace

import pytest

from cluster import Network, clients
from cluster.quickstart import connection_lines


@pytest.fixture(params=["fe1", "fe2", "dovecot"])
def server(request, cluster):
    """Where a client connects, with the ports: a frontend, or the Dovecot of sv1."""
    if request.param == "dovecot":
        return SimpleNamespace(
            address=cluster.backends["sv1"].address, certificate=cluster.certificates.certificate("sv1"),
            certified_name="sv1.example.org", imap=Network.STORE_IMAP, imaps=Network.STORE_IMAPS,
            pop3=Network.STORE_POP3, pop3s=Network.STORE_POP3S)
    return SimpleNamespace(
        address=cluster.frontends[request.param].address,
        certificate=cluster.certificates.certificate(request.param), certified_name="mail.example.org",
        imap=Network.IMAP, imaps=Network.IMAPS, pop3=Network.POP3, pop3s=Network.POP3S)


@pytest.fixture
def mailbox(fe1, fresh, arrives):
    """An account of sv1 with three messages."""
    account = fresh("sv1")
    for number in range(3):
        clients.send(fe1, [account.address], clients.make_message(f"letter {number}", [account.address]))
    for number in range(3):
        arrives(account, f"letter {number}")
    return account


def run(*command, stdin=None, seconds=60, environment=None):
    done = subprocess.run([str(word) for word in command], input=stdin, capture_output=True, timeout=seconds,
                          env={**os.environ, **(environment or {})})
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout!r}\n{done.stderr!r}"
    return done.stdout


@pytest.mark.parametrize("scheme", ["imaps", "imap"])
def test_curl_reads_by_imap(cluster, server, mailbox, scheme):
    port = server.imaps if scheme == "imaps" else server.imap
    text = run("curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", cluster.certificates.ca,
               "--user", f"{mailbox.address}:{mailbox.password}",
               f"{scheme}://{server.address}:{port}/INBOX;MAILINDEX=2")
    assert clients.subjects([text]) == ["letter 1"]


@pytest.mark.parametrize("scheme", ["pop3s", "pop3"])
def test_curl_reads_by_pop3(cluster, server, mailbox, scheme):
    port = server.pop3s if scheme == "pop3s" else server.pop3
    text = run("curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", cluster.certificates.ca,
               "--user", f"{mailbox.address}:{mailbox.password}", f"{scheme}://{server.address}:{port}/3")
    assert clients.subjects([text]) == ["letter 2"]


def test_curl_with_a_wrong_password_says_so(cluster, server, mailbox):
    done = subprocess.run(["curl", "--silent", "--cacert", cluster.certificates.ca, "--user",
                           f"{mailbox.address}:wrong", f"imaps://{server.address}:{server.imaps}/INBOX"],
                          capture_output=True, timeout=60)
    assert done.returncode == 67  # login denied


def test_swaks_and_curl_send(cluster, frontend, fresh, arrives, tmp_path):
    account = fresh("sv2")
    run("swaks", "--server", frontend.address, "--port", Network.SMTP, "--tls", "--tls-verify",
        "--tls-ca-path", cluster.certificates.ca, "--from", "swaks@example.com", "--to", account.address,
        "--header", "Subject: from swaks", "--hide-all")
    arrives(account, "from swaks")
    letter = tmp_path / "letter"
    letter.write_bytes(clients.make_message("from curl", [account.address]))
    run("curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", cluster.certificates.ca,
        "--mail-from", "curl@example.com", "--mail-rcpt", account.address, "--upload-file", letter,
        f"smtp://{frontend.address}:{Network.SMTP}")
    arrives(account, "from curl")


@pytest.mark.parametrize("security", ["IMAPS", "STARTTLS"])
def test_mbsync_mirrors_the_mailbox(server, mailbox, tmp_path, security):
    configuration = tmp_path / "mbsyncrc"
    configuration.write_text(f"""\
IMAPStore remote
Host {server.address}
Port {server.imaps if security == "IMAPS" else server.imap}
User {mailbox.address}
Pass {mailbox.password}
SSLType {security}
CertificateFile {server.certificate}

MaildirStore local
Path {tmp_path}/
Inbox {tmp_path}/inbox

Channel all
Far :remote:
Near :local:
Sync All
Create Near
SyncState *
""")
    run("mbsync", "-c", configuration, "all")
    files = list((tmp_path / "inbox").glob("*/*,*"))
    assert clients.subjects([clients_crlf(file.read_bytes()) for file in files]) == [
        "letter 0", "letter 1", "letter 2"]
    files[0].rename(file_with_flag(files[0], tmp_path))
    run("mbsync", "-c", configuration, "all")
    imap = clients.imap_login(server, mailbox, port=server.imap)
    imap.select("INBOX")
    assert len(imap.search(None, "SEEN")[1][0].split()) == 1
    imap.logout()


def file_with_flag(file, tmp_path):
    """Where a mail reader puts a message that was read."""
    return tmp_path / "inbox" / "cur" / (file.name.partition(":")[0] + ":2,S")


def clients_crlf(octets):
    return octets.replace(b"\n", b"\r\n")


def fingerprint(certificate):
    """Of the first certificate in the file; offlineimap knows no address in a certificate."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()


def test_offlineimap_mirrors_the_mailbox_and_its_flags(server, mailbox, tmp_path):
    configuration = tmp_path / "offlineimaprc"
    configuration.write_text(f"""\
[general]
accounts = one
metadata = {tmp_path}/metadata
[Account one]
localrepository = here
remoterepository = there
[Repository here]
type = Maildir
localfolders = {tmp_path}/mail
[Repository there]
type = IMAP
remotehost = {server.address}
remoteport = {server.imaps}
remoteuser = {mailbox.address}
remotepass = {mailbox.password}
ssl = yes
cert_fingerprint = {fingerprint(server.certificate)}
""")
    command = ("offlineimap", "-o", "-u", "quiet", "-c", configuration)
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    run(*command, environment=home)
    files = sorted((tmp_path / "mail" / "INBOX").glob("*/*,*"))
    assert clients.subjects([clients_crlf(file.read_bytes()) for file in files]) == [
        "letter 0", "letter 1", "letter 2"]
    read = tmp_path / "mail" / "INBOX" / "cur" / (files[0].name.partition(":")[0] + ":2,S")
    files[0].rename(read)
    run(*command, environment=home)
    imap = clients.imap_login(server, mailbox, port=server.imap)
    imap.select("INBOX")
    assert len(imap.search(None, "SEEN")[1][0].split()) == 1
    imap.logout()


@pytest.mark.parametrize("scheme", ["imaps", "imap", "pops", "pop"])
def test_mutt_reads_the_mailbox_and_copies_it(cluster, server, mailbox, tmp_path, scheme):
    """mutt needs a terminal; what it would be told by keys is told by its hook."""
    box = tmp_path / "box"
    port = {"imaps": server.imaps, "imap": server.imap, "pops": server.pop3s, "pop": server.pop3}[scheme]
    configuration = tmp_path / "muttrc"
    configuration.write_text(f"""\
set imap_user="{mailbox.address}" imap_pass="{mailbox.password}"
set pop_user="{mailbox.address}" pop_pass="{mailbox.password}"
set ssl_force_tls=yes ssl_ca_certificates_file="{cluster.certificates.ca}" certificate_file="{cluster.certificates.ca}"
set ssl_verify_host=no
set folder="{tmp_path}" mbox_type=mbox confirmcreate=no confirmappend=no delete=no quit=yes move=no copy=no record=""
set header_cache="" message_cachedir="" wait_key=no sleep_time=0 timeout=2
folder-hook . 'push "<tag-pattern>~A<enter><tag-prefix><copy-message><kill-line>{box}<enter><exit>"'
""")
    name = mailbox.address.replace("@", "%40")
    run("script", "-qec", f"mutt -n -F {configuration} -f {scheme}://{name}@{server.address}:{port}/", "/dev/null",
        stdin=b"", environment={"TERM": "xterm", "HOME": str(tmp_path), "LINES": "40", "COLUMNS": "120"})
    assert clients.subjects([clients_crlf(line + b"\n\n") for line in box.read_bytes().splitlines()
                             if line.startswith(b"Subject: ")]) == ["letter 0", "letter 1", "letter 2"]


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_fetchmail_takes_everything(cluster, server, mailbox, tmp_path, protocol):
    box = tmp_path / "box"
    configuration = tmp_path / "fetchmailrc"
    port = server.imaps if protocol == "imap" else server.pop3s
    configuration.write_text(f"""\
poll {server.address} protocol {protocol} port {port}
  user "{mailbox.address}" password "{mailbox.password}" is "somebody" here
  ssl sslcertck sslcertfile "{cluster.certificates.ca}" sslcommonname "{server.certified_name}"
  fetchall nokeep mda "cat >>{box}"
""")
    configuration.chmod(0o600)
    run("fetchmail", "--fetchmailrc", configuration, "--nosyslog", "--nodetach",
        environment={"FETCHMAILHOME": str(tmp_path), "HOME": str(tmp_path)})
    assert clients.subjects([clients_crlf(line + b"\n\n") for line in box.read_bytes().splitlines()
                             if line.startswith(b"Subject: ")]) == ["letter 0", "letter 1", "letter 2"]
    assert clients.read_by_imap(server, mailbox, port=server.imap) == []


def test_openssl_sees_the_frontends_certificate(cluster, fe1):
    for port, more in ((Network.IMAPS, []), (Network.POP3S, []), (Network.SMTP, ["-starttls", "smtp"]),
                       (Network.IMAP, ["-starttls", "imap"]), (Network.POP3, ["-starttls", "pop3"])):
        said = run("openssl", "s_client", "-verify_return_error", "-CAfile", cluster.certificates.ca,
                   "-verify_hostname", "mail.example.org", "-connect", f"{fe1.address}:{port}", *more, stdin=b"")
        assert b"Verify return code: 0 (ok)" in said


def test_what_quickstart_prints_can_be_pasted(cluster, fe1, arrives):
    """The same lines that contrib/quickstart shows to a newcomer, run by a shell."""
    account = cluster.accounts[0]
    clients.send(fe1, [account.address], clients.make_message("first", [account.address]))
    arrives(account, "first")
    for line in connection_lines(cluster):
        done = subprocess.run(["sh", "-c", line], input=b"a LOGOUT\nQUIT\n", capture_output=True, timeout=60)
        assert done.returncode == 0, f"{line}\n{done.stdout!r}\n{done.stderr!r}"
