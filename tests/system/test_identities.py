# SPDX-License-Identifier: Apache-2.0
"""Logins without a password, at a real Dovecot: by a client's certificate (EXTERNAL), with which
a master user logs in at the store, and by a bearer token that a real passdb has looked into."""
import base64
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cluster import Cluster, Network
from cluster.process import run
from conftest import running
from raw import Raw

MASTER, MASTER_PASSWORD = "proxy", "mast3r-s3cret"
CERTIFIED, BEARER_IMAP, BEARER_POP3 = 1994, 1996, 1997  # ports of listeners of fe1
AGENT = "desk@example.org"  # whose certificate may log in to any account

DAEMONS = """\
master {{
    user = "{user}"
    password_file = "{file}"
    separator = "*"
    identities = {{ "{agent}" }}
}}
"""

DOVECOT = """\
auth_master_user_separator = *
auth_mechanisms = plain login xoauth2 oauthbearer
passdb {{
  driver = passwd-file
  args = {folder}/masters
  master = yes
  result_success = continue
}}
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf
}}
"""

OAUTH2 = """\
introspection_mode = auth
introspection_url = http://{address}:{port}/introspect?token=
username_attribute = user
active_attribute = active
active_value = yes
"""


class Introspection(ThreadingHTTPServer):
    """RFC 7662, as far as Dovecot asks: whose a token is."""

    daemon_threads = True

    def __init__(self, address):
        super().__init__((address, 0), IntrospectionRequest)
        self.tokens = {}  # token: user
        threading.Thread(target=self.serve_forever, daemon=True).start()


class IntrospectionRequest(BaseHTTPRequestHandler):
    def do_GET(self):
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        user = self.server.tokens.get(token)
        answer = json.dumps({"user": user, "active": "yes"} if user else {"active": "no"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class IdentityCluster(Cluster):
    """One frontend and one backend, whose store has a master user and believes bearer tokens."""

    def __init__(self, folder, network, build):
        super().__init__(folder, network, build, account_count=40, backends=("sv1",), frontends=("fe1",), workers=1)
        self.introspection = None

    def create(self):
        super().create()
        self.introspection = Introspection(self.network.address(5))
        dovecot, fe1 = self.backends["sv1"].dovecot, self.frontends["fe1"]
        with open(dovecot.configuration, "a") as configuration:
            configuration.write(DOVECOT.format(folder=dovecot.folder))
        (dovecot.folder / "masters").write_text(f"{MASTER}:{{PLAIN}}{MASTER_PASSWORD}\n")
        (dovecot.folder / "oauth2.conf").write_text(OAUTH2.format(
            address=self.introspection.server_address[0], port=self.introspection.server_address[1]))
        secret = self.folder / "master.secret"
        secret.write_text(MASTER_PASSWORD + "\n")
        secret.chmod(0o600)
        master = DAEMONS.format(user=MASTER, file=secret, agent=AGENT)
        self.backends["sv1"].daemon.write_configuration(master)
        bearer = '    mechanisms = { "XOAUTH2", "OAUTHBEARER" }\n    plaintext_allowed = true\n'
        fe1.write_configuration(master + "".join([
            fe1.listener("certified", "imap", CERTIFIED, "implicit", '    mechanisms = { "PLAIN", "EXTERNAL" }\n'),
            fe1.listener("bearer-imap", "imap", BEARER_IMAP, "starttls", bearer),
            fe1.listener("bearer-pop3", "pop3", BEARER_POP3, "starttls", bearer)]))
        fe1.configuration.write_text(fe1.configuration.read_text().replace(
            "\ntls {\n", f'\ntls {{\n    client_ca = "{self.certificates.ca}"\n'))

    def stop(self):
        if self.introspection:
            self.introspection.shutdown()
            self.introspection.server_close()
            self.introspection = None
        return super().stop()


@pytest.fixture(scope="module")
def identities(build, request):
    with running(lambda folder: IdentityCluster(folder, Network.find(), build), request) as cluster:
        yield cluster


@pytest.fixture
def fe1(identities):
    return identities.frontends["fe1"]


@pytest.fixture
def account(identities):
    return identities.accounts_of("sv1")[3]


@pytest.fixture
def certified(identities):
    """certified(address): a TLS context with a certificate for that address, by the cluster's CA."""
    def make(address=None):
        context = ssl.create_default_context(cafile=str(identities.certificates.ca))
        if address:
            context.load_cert_chain(*client_certificate(identities.certificates, address))
        return context
    return make


def client_certificate(certificates, address, ca="ca"):
    """(certificate, key) files of a client whose address is `address`."""
    name = f"client-{address}-{ca}"
    request, extensions = certificates.folder / "client.csr", certificates.folder / "client.ext"
    if certificates.certificate(name).exists():
        return certificates.certificate(name), certificates.key(name)
    extensions.write_text(f"subjectAltName=email:{address}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n")
    run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", certificates.key(name), "-out", request, "-subj", "/CN=a client"], "making a client's key")
    run(["openssl", "x509", "-req", "-in", request, "-CA", certificates.certificate(ca), "-CAkey",
         certificates.key(ca), "-CAcreateserial", "-days", "2", "-extfile", extensions,
         "-out", certificates.certificate(name)], "signing a client's certificate")
    return certificates.certificate(name), certificates.key(name)


def external(fe1, context, authzid=None):
    """(the answer to AUTHENTICATE EXTERNAL, the connection)."""
    raw = Raw(fe1.address, CERTIFIED, context)
    raw.line()
    said = base64.b64encode(authzid.encode()) if authzid else b"="
    return raw.ask_tagged(b"a", b"AUTHENTICATE EXTERNAL " + said)[-1], raw


def test_a_certificate_logs_in_to_the_account_that_it_names(identities, fe1, account, certified):
    answer, raw = external(fe1, certified(account.address))
    with raw:
        assert answer.startswith(b"a OK"), answer
        assert raw.ask_tagged(b"b", b"STATUS INBOX (MESSAGES)")[-1].startswith(b"b OK")
        assert [session["account"] for session in fe1.admin().json("who") if "account" in session] == [account.address]
    store = identities.backends["sv1"].dovecot.process.log_file.read_text()
    assert f"user=<{account.address}>" in store


def test_only_an_agent_s_certificate_may_name_another_account(identities, fe1, account, certified):
    other = identities.accounts_of("sv1")[4]
    for context, authzid, start in [(certified(account.address), account.address, b"a OK"),
                                    (certified(account.address), other.address, b"a NO [AUTHORIZATIONFAILED]"),
                                    (certified(AGENT), other.address, b"a OK"),
                                    (certified(AGENT), f"{other.address}*{MASTER}", b"a NO")]:
        answer, raw = external(fe1, context, authzid)
        raw.close()
        assert answer.startswith(start), (authzid, answer)


def test_without_a_certificate_there_is_no_external(fe1, certified):
    with Raw(fe1.address, CERTIFIED, certified()) as raw:
        assert b"AUTH=EXTERNAL" not in raw.line()
        assert not raw.ask_tagged(b"a", b"AUTHENTICATE EXTERNAL =")[-1].startswith(b"a OK")


def test_a_certificate_of_another_authority_is_no_certificate(identities, fe1, account):
    certificates = identities.certificates
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
         certificates.key("stranger"), "-out", certificates.certificate("stranger"), "-days", "2",
         "-subj", "/CN=Some other CA"], "making another CA")
    context = ssl.create_default_context(cafile=str(certificates.ca))
    context.load_cert_chain(*client_certificate(certificates, account.address, "stranger"))
    try:
        answer, raw = external(fe1, context)
    except (ssl.SSLError, ConnectionError):
        return  # refused in the handshake
    raw.close()
    assert not answer.startswith(b"a OK"), answer


# -- bearer tokens -------------------------------------------------------------------
def bearer(mechanism, account, token):
    if mechanism == "XOAUTH2":
        said = f"user={account.address}\1auth=Bearer {token}\1\1"
    else:
        said = f"n,a={account.address},\1host=mail.example.org\1port=993\1auth=Bearer {token}\1\1"
    return base64.b64encode(said.encode())


class BearerImap:
    port, challenge = BEARER_IMAP, b"+ "
    good, wrong = b"a OK", b"a NO [AUTHENTICATIONFAILED]"
    command = b"a AUTHENTICATE "


class BearerPop3:
    port, challenge = BEARER_POP3, b"+ "
    good, wrong = b"+OK", b"-ERR [AUTH]"
    command = b"AUTH "


def answer_to(raw):
    line = raw.line()
    while line.startswith(b"* "):
        line = raw.line()
    return line


@pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])
@pytest.mark.parametrize("protocol", [BearerImap, BearerPop3])
def test_a_token_that_the_store_believes_logs_in_and_another_is_told_by_a_challenge(
        identities, fe1, account, protocol, mechanism):
    identities.introspection.tokens = {"good.token": account.address, "other.token": "user1@example.org"}
    with Raw(fe1.address, protocol.port) as raw:
        raw.line()
        refused = "wrong.token" if mechanism == "XOAUTH2" else "other.token"
        raw.send(protocol.command + mechanism.encode() + b" " + bearer(mechanism, account, refused) + b"\r\n")
        challenge = answer_to(raw)
        assert challenge.startswith(protocol.challenge), challenge
        assert "status" in json.loads(base64.b64decode(challenge[2:]))
        raw.send(b"AQ==\r\n" if mechanism == "OAUTHBEARER" else b"\r\n")
        answer = answer_to(raw)
        assert answer.startswith(protocol.wrong), answer
        raw.send(protocol.command + mechanism.encode() + b" " + bearer(mechanism, account, "good.token") + b"\r\n")
        answer = answer_to(raw)
        assert answer.startswith(protocol.good), answer
    for log in (identities.folder / "log").glob("mailstead-*.log"):
        assert not any(token in log.read_text() for token in ("good.token", "wrong.token", "other.token"))
