# SPDX-License-Identifier: Apache-2.0
"""mailstead dovecot-config: what it writes is a Dovecot that fences, believes the gate and hides its secrets.

The stores of all tests run with it; here is what those do not show."""
import base64
import re
import socket
import stat
import subprocess

import pytest

from cluster import Network, wait_until
from cluster.process import Process
from variant import Variant

SHARED = ("--mail-directory", "/srv/mail")


def lmtp(address, *recipients):
    """The replies to RCPT of each, without any DATA; `address` is a TCP address or a path."""
    with (socket.socket(socket.AF_UNIX) if isinstance(address, str) else socket.socket()) as connection:
        connection.settimeout(20)
        connection.connect(address)
        lines = connection.makefile("rwb")
        lines.readline()

        def say(text):
            lines.write(text.encode() + b"\r\n")
            lines.flush()
            while True:
                line = lines.readline()
                if line[3:4] != b"-":
                    return line.decode()

        say("LHLO test")
        say("MAIL FROM:<>")
        return [say(f"RCPT TO:<{recipient}>") for recipient in recipients]


@pytest.fixture
def node(cluster):
    return cluster.backends["sv1"].daemon


def test_the_fence_tells_foreign_from_unknown(cluster, fresh):
    store = (cluster.backends["sv1"].address, Network.STORE_LMTP)
    own, foreign, unknown = lmtp(store, fresh("sv1").address, fresh("sv2").address, "nobody-at-all@example.org")
    assert own.startswith("250 2.1.5")
    assert foreign.startswith("451 4.3.0")
    assert unknown.startswith("550 5.1.1")


def test_the_files_are_whole_and_their_secrets_are_roots(cluster, node, tmp_path):
    folder = tmp_path / "made"
    node.admin().text("dovecot-config", "--write", folder, *SHARED)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
    assert modes == {"dovecot.conf": 0o644, "mailstead-passdb.conf": 0o600, "mailstead-own.conf": 0o600,
                     "mailstead-foreign.conf": 0o600}
    secret = cluster.slapd.secret_file("dovecot").read_text()
    assert secret in (folder / "mailstead-own.conf").read_text()
    assert secret not in (folder / "dovecot.conf").read_text()
    done = subprocess.run(["doveconf", "-n", "-c", folder / "dovecot.conf"], capture_output=True, text=True, check=True)
    assert "auth_cache_size" not in done.stdout  # 0 is Dovecot's default
    assert secret not in done.stdout
    assert "warning" not in done.stderr.lower(), done.stderr
    before = {file.name: file.read_text() for file in folder.iterdir()}
    node.admin().text("dovecot-config", "--write", folder, *SHARED)
    assert {file.name: file.read_text() for file in folder.iterdir()} == before


def test_a_link_in_the_way_is_not_written_through(node, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "dovecot.conf").symlink_to(victim)
    (folder / "mailstead-own.conf.new").symlink_to(victim)
    node.admin().text("dovecot-config", "--write", folder, *SHARED)
    assert victim.read_text() == "mine"
    assert not (folder / "dovecot.conf").is_symlink()


def test_on_standard_output_are_the_same_files(node, tmp_path):
    printed = node.admin().text("dovecot-config", *SHARED)
    assert re.findall(r"(?m)^# ==== (\S+) \(mode (\d+)\)$", printed) == [
        ("dovecot.conf", "0644"), ("mailstead-passdb.conf", "0600"), ("mailstead-own.conf", "0600"),
        ("mailstead-foreign.conf", "0600")]
    folder = tmp_path / "made"
    node.admin().text("dovecot-config", "--write", folder, *SHARED)
    assert (folder / "mailstead-own.conf").read_text() in printed


def test_what_no_store_can_be_made_of_is_one_clear_line(cluster, node, tmp_path):
    done = cluster.frontends["fe1"].admin().run("dovecot-config")
    assert done.returncode == 1 and "node.name: is missing" in done.stderr
    done = node.admin().run("dovecot-config", "--dovecot-version", "2.2")
    assert done.returncode == 1 and "--dovecot-version: is 2.3 or 2.4" in done.stderr
    done = node.admin().run("dovecot-config", "--write", tmp_path / "no" / "folder", *SHARED)
    assert done.returncode == 1 and "No such file or directory" in done.stderr
    done = node.admin().run("dovecot-config", "--mail-directory", "relative")
    assert done.returncode == 1 and "--mail-directory" in done.stderr
    assert Variant(node, tmp_path, name='"a/../b"').run("dovecot-config").returncode == 1
    header = Variant(node, tmp_path, imap_store='"unix:/run/imap"\n    pass_client = "proxy"')
    done = header.run("dovecot-config")
    assert done.returncode == 1 and "must not be unix sockets" in done.stderr


def test_for_2_4_the_same_is_in_its_words(cluster, node, tmp_path):
    folder = tmp_path / "made"
    node.admin().text("dovecot-config", "--dovecot-version", "2.4", "--write", folder, *SHARED)
    text = (folder / "dovecot.conf").read_text()
    assert text.index("dovecot_config_version") < text.index("dovecot_storage_version") < text.index("protocols")
    assert "home = /srv/mail/%{ldap:oldHostServer | default('sv1')}/%{user | domain | lower}" in text
    assert "(hostServer=sv1)" in text and "tempfail = yes" in text
    for old in ("disable_plaintext_auth", "ssl_cert ", "mail_location", "service_count", "%Lu", "plugin {"):
        assert old not in text
    secrets = folder / "mailstead-secrets.conf"
    assert cluster.slapd.secret_file("dovecot").read_text() in secrets.read_text()
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    assert text.count("{") - text.count("%{") == text.count("}") - text.count("%{")


@pytest.fixture
def by_sockets(cluster, node, open_folder):
    """A Dovecot behind unix sockets, each backend's mail by itself, passwords tried by binds."""
    folder = open_folder()
    store = cluster.backends["sv1"].dovecot
    secret = folder / "doveadm.secret"
    secret.write_text('a "quoted" \\ secret #1\n')
    variant = Variant(node, folder, lmtp_store=f'"unix:{folder}/lmtp"', imap_store=f'"unix:{folder}/imap"',
                      pop3_store=f'"unix:{folder}/pop3"', sieve_store=f'"unix:{folder}/sieve"')
    text = variant.file.read_text()
    text = re.sub(r"(?m)^    bind_dn = \"cn=dovecot.*\n    bind_password_file = .*\n", "", text)
    text = text.replace("dovecot {\n", f'replica {{\n    doveadm = "unix:{folder}/doveadm"\n'
                        f'    password_file = "{secret}"\n    to = "sv2"\n}}\n'
                        f'dovecot {{\n    mail_directory = "{folder}/mail"\n')
    text = text.replace(str(store.run_folder), f"{folder}/run").replace(f"{store.folder}/state", f"{folder}/state")
    variant.file.write_text(text)
    variant.text("dovecot-config", "--write", folder)
    (folder / "local.conf").write_text((store.folder / "local.conf").read_text().partition("service imap-login")[0])
    (folder / "mail").mkdir()
    (folder / "mail").chmod(0o777)
    process = Process("dovecot", folder, ["/usr/sbin/dovecot", "-F", "-c", folder / "dovecot.conf"],
                      is_ready=(folder / "lmtp").is_socket)
    process.start()
    yield variant
    process.stop()


def imap(path, *lines):
    """What is answered to the tagged lines, behind the greeting; "" is a connection that was closed."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(path)
        stream = connection.makefile("rwb")
        answers = [stream.readline().decode()]
        for line in lines:
            stream.write(line.encode() + b"\r\n")
            stream.flush()
            while (answer := stream.readline().decode()) and not answer.startswith("a "):
                pass
            answers.append(answer)
        return answers


def doveadm(folder, *words):
    done = subprocess.run(["doveadm", "-c", folder / "dovecot.conf", *words], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_unix_sockets_binds_and_an_unfenced_doveadm(by_sockets, cluster, fresh):
    own, foreign, folder = fresh("sv1"), fresh("sv2"), by_sockets.folder
    replies = lmtp(f"{folder}/lmtp", own.address, foreign.address, "nobody-at-all@example.org")
    assert [reply[:3] for reply in replies] == ["250", "451", "550"]
    assert imap(f"{folder}/imap", f"a LOGIN {own.address} {own.password}")[-1].startswith("a OK")
    assert "AUTHENTICATIONFAILED" in imap(f"{folder}/imap", f"a LOGIN {own.address} wrong")[-1]
    refusal = imap(f"{folder}/imap", f"a LOGIN {foreign.address} {foreign.password}")[-1]
    assert refusal == "" or "UNAVAILABLE" in refusal  # its login process may hang up instead
    checked = by_sockets.run("check").stderr
    assert checked.count("Dovecot believes nothing that is said of the client at a unix socket") == 4, checked
    assert f"{folder}/mail/example.org/{own.uid}" in doveadm(folder, "user", own.address)
    # Over doveadm's own protocol, with the password as it is, every account is there.
    stream = socket.create_connection((cluster.backends["sv1"].address, 24245), 20)
    stream = wrap(stream).makefile("rwb")
    stream.write(b"VERSION\tdoveadm-server\t1\t0\nPLAIN\t"
                 + base64.b64encode(b'\0doveadm\0a "quoted" \\ secret #1') + b"\n")
    stream.flush()
    said = [stream.readline() for _ in range(2)]
    assert said[-1] == b"+\n", said
    stream.write(f"\t{foreign.address}\tmailbox status\tmessages\tINBOX\n".encode())
    stream.flush()
    wait_until(lambda: stream.readline() == b"+\n", "doveadm reaches a foreign account", 20, 0)


def wrap(connection):
    import ssl
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connection)
