# SPDX-License-Identifier: Apache-2.0
"""mailstead check, where it asks: the running store, the machine, and the directory."""
import re

import pytest

from cluster import Network
from cluster.network import can_connect
from cluster.process import Process
from variant import Variant

NO_FENCE = {"mailstead-own.conf": ("(hostServer=sv1)", "")}
NOBODY_ELSE = {"mailstead-foreign.conf": ("(objectClass=mailsteadAccount)", "(objectClass=none)")}


class Store:
    """A second Dovecot for sv1, at an address of its own, made by dovecot-config and then spoiled."""

    def __init__(self, cluster, folder):
        self.cluster, self.folder, self.node = cluster, folder, cluster.backends["sv1"]
        self.address = cluster.network.address(60)
        self.variant = Variant(self.node.daemon, folder)
        self.write()
        self.process = Process("dovecot", folder, ["/usr/sbin/dovecot", "-F", "-c", folder / "dovecot.conf"],
                               is_ready=self.is_ready)

    def write(self):
        text, store = self.variant.file.read_text(), self.node.dovecot
        text = re.sub(rf'(_store = "){re.escape(self.node.address)}:', rf"\g<1>{self.address}:", text)
        text = text.replace(str(store.run_folder), f"{self.folder}/run").replace(f"{store.folder}/state",
                                                                                 f"{self.folder}/state")
        self.variant.file.write_text(text)

    def is_ready(self):
        return all(can_connect(self.address, port) for port in
                   (Network.STORE_LMTP, Network.STORE_IMAP, Network.STORE_POP3, Network.STORE_SIEVE))

    def start(self, local="", changes=None):
        self.process.stop()
        self.variant.text("dovecot-config", "--write", self.folder, "--mail-directory", f"{self.folder}/mail")
        additions = (self.node.dovecot.folder / "local.conf").read_text().partition("service imap-login")[0]
        (self.folder / "local.conf").write_text(additions + local)
        for name, (old, new) in (changes or {}).items():
            file = self.folder / name
            assert old in file.read_text()
            file.write_text(file.read_text().replace(old, new))
        self.process.start()

    def faults(self):
        """The lines of `mailstead check` about the store, and its exit status."""
        done = self.variant.run("check")
        return [line for line in done.stderr.splitlines() if "node." in line or "dovecot" in line], done.returncode


@pytest.fixture(scope="module")
def store(cluster, open_folder):
    store = Store(cluster, open_folder())
    yield store
    store.process.stop()


def test_a_store_as_it_was_made_has_no_fault(store):
    store.start()
    assert store.faults() == ([], 0)


@pytest.mark.parametrize("local, changes, fault", [
    ("auth_cache_size = 1M\n", None, "auth_cache_size is not 0"),
    ("", NO_FENCE, "it takes mail for user"),
    ("", NOBODY_ELSE, "an account of another node; expected 451: mail for it would bounce"),
    ("", {"mailstead-own.conf": ("(hostServer=sv1)", "(hostServer=sv9)")}, "an account of this node"),
], ids=["cache", "no fence", "unknown instead of refused", "own refused"])
def test_what_is_wrong_with_it_is_one_clear_line(store, local, changes, fault):
    store.start(local, changes)
    lines, status = store.faults()
    assert status == 1
    assert len(lines) == 1 and fault in lines[0], lines


def test_who_is_not_believed_is_told_for_each_protocol(store):
    store.start("login_trusted_networks = 192.0.2.1\n")
    lines, status = store.faults()
    assert status == 1
    assert len(lines) == 2 and all("login_trusted_networks" in line for line in lines), lines
    assert "node.lmtp_store" in lines[0] and "node.pop3_store" in lines[1]


def test_one_that_does_not_run_is_a_doubt_and_another_protocol_a_fault(store):
    store.process.stop()
    lines, status = store.faults()
    assert status == 0 and len(lines) == 4 and all("does not answer" in line for line in lines), lines
    text = store.variant.file.read_text()
    node = store.node
    store.variant.file.write_text(text.replace(f"{store.address}:{Network.STORE_LMTP}",
                                               f"{node.address}:{Network.STORE_POP3}"))
    lines, status = store.faults()
    store.variant.file.write_text(text)
    assert status == 1 and any("does not speak LMTP" in line for line in lines), lines


# -- the machine ------------------------------------------------------------------------


def complaints(admin, *words):
    done = admin.run("check", *words)
    return done.stderr, done.returncode


def test_an_address_that_is_not_here_is_a_fault(cluster, fe1, tmp_path):
    changed = Variant(fe1, tmp_path)
    changed.file.write_text(changed.file.read_text().replace(f'"{fe1.address}:{Network.SMTP}"', '"192.0.2.77:25"'))
    said, status = complaints(changed)
    assert status == 1 and '"mx".address: 192.0.2.77 is no address of this machine now' in said
    assert complaints(changed, "--offline")[1] == 0


def test_an_address_to_go_out_from_that_is_not_here_is_a_fault(fe1, tmp_path):
    changed = Variant(fe1, tmp_path)
    changed.file.write_text(f'bind_address = {{ "{fe1.address}", "2001:db8::77" }}\n' + changed.file.read_text())
    said, status = complaints(changed)
    assert status == 1 and "bind_address: 2001:db8::77 is no address of this machine now" in said
    assert f"bind_address: {fe1.address}" not in said


def test_a_node_whose_name_leads_elsewhere_is_a_fault(cluster, tmp_path):
    node = cluster.backends["sv1"]
    changed = Variant(node.daemon, tmp_path)
    changed.file.write_text(changed.file.read_text().replace(
        f'backend "sv1" {{ address = "{node.address}"', 'backend "sv1" { address = "192.0.2.78"'))
    said, status = complaints(changed)
    assert status == 1 and 'backend "sv1": its address 192.0.2.78 is not on this machine now' in said


def test_two_logical_hosts_must_share_nothing(cluster, fe1, tmp_path):
    hosts = {}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        hosts[name] = Variant(fe1, tmp_path / name)
    said, status = complaints(hosts["a"], "--logical-host", "a")
    other = f"{tmp_path}/b/mailstead.conf"
    assert status == 1
    assert f'listen "mx".address: listen "mx" of {other} has it too' in said
    for option in ("run_directory", "state_directory", "queue.directory"):
        assert re.search(rf"{option}: \S+ is also that of {re.escape(other)}", said), said
    text = hosts["b"].file.read_text()
    hosts["b"].file.write_text(text.replace(f"{fe1.folder}/", f"{tmp_path}/b/").replace(
        fe1.address, cluster.network.address(70)))
    said, status = complaints(hosts["a"], "--logical-host", "a")
    assert status == 0 and other not in said, said
    # Its name must lead to it.
    assert "cluster.hostname: fe1.example.org has no address" in said


def test_a_storage_that_is_not_there_is_a_fault(cluster, tmp_path):
    changed = Variant(cluster.backends["sv1"].daemon, tmp_path)
    text = changed.file.read_text()
    shared = f'storage {{\n    kind = "shared"\n    directory = "{tmp_path}"\n}}\n'
    changed.file.write_text(text + shared)
    said, status = complaints(changed)
    assert status == 1 and f"storage.directory: {tmp_path}/sv1 is not there" in said
    (tmp_path / "sv1").mkdir()
    said, status = complaints(changed)
    assert status == 1 and f"storage.require_mount: nothing is mounted on {tmp_path}/sv1 now" in said
    changed.file.write_text(text + shared.replace("\n}", '\n    require_mount = "off"\n}'))
    assert complaints(changed)[1] == 0
    (tmp_path / "sv1" / ".mailstead-claim").write_text("mailstead claim 1\nnode sv2\npid 1\nboot x\nsince 1\nseen 1\n"
                                                       "state held\n")
    said, status = complaints(changed)
    assert status == 1 and 'is claimed by the node "sv2"' in said


def test_an_attribute_that_the_schema_does_not_have_is_told(cluster, fe1, tmp_path):
    changed = Variant(fe1, tmp_path)
    changed.file.write_text(changed.file.read_text().replace('login_attributes = { "uid"',
                                                             'login_attributes = { "noSuchThing", "uid"'))
    said, status = complaints(changed)
    assert status == 0 and 'the server\'s schema has no attribute "noSuchThing"' in said
    assert "schema" not in complaints(fe1.admin())[0]
