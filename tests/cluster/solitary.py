# SPDX-License-Identifier: Apache-2.0
"""A daemon alone, without a directory, for tests of who starts and watches it."""
import os
import random
import socket
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]

CONFIGURATION = """\
cluster {{
    hostname = "node.example.org"
    domains = {{ "example.org" }}
    backend "sv1" {{ address = "127.0.0.1" lmtp_port = 1 imap_port = 1 pop3_port = 1 }}
}}
directory {{
    uri = {{ "ldap://127.0.0.1:1" }}
    base = "dc=example,dc=org"
}}
node {{
    name = "sv1"
    lmtp_store = "127.0.0.1:1"
    imap_store = "127.0.0.1:1"
    pop3_store = "127.0.0.1:1"
    frontends = {{ "{peers}" }}
}}
relay_host {{ address = "127.0.0.1" tls = "off" }}
queue {{ directory = "{folder}/queue" }}
listen "lmtp" {{ protocol = "lmtp" address = "127.0.0.1:{ports[0]}" tls = "off" }}
listen "imap" {{ protocol = "imap" address = "127.0.0.1:{ports[1]}" tls = "off" plaintext_allowed = true }}
listen "pop3" {{ protocol = "pop3" address = "127.0.0.1:{ports[2]}" tls = "off" plaintext_allowed = true }}
user = "{user}"
workers = 1
state_directory = "{folder}/state"
run_directory = "{folder}/run"
"""


def free_ports(count):
    """Below those that the kernel gives to whoever connects: a daemon that starts again gets them, too."""
    sockets = []
    while len(sockets) < count:
        try:
            sockets.append(socket.create_server(("127.0.0.1", random.randrange(10000, 30000))))
        except OSError:
            pass  # somebody has it
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


def write_configuration(folder, peers="127.0.0.0/8"):
    """FOLDER/mailstead.conf: either daemon starts with it.  Gives the ports."""
    ports = free_ports(3)
    folder.mkdir(exist_ok=True)
    (folder / "mailstead.conf").write_text(CONFIGURATION.format(
        folder=folder, ports=ports, peers=peers, user="nobody" if os.getuid() == 0 else ""))
    return ports
