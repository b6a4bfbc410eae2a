# SPDX-License-Identifier: Apache-2.0
"""The example for Pacemaker: what its own tools say, and a real cluster of three machines with it."""
import shutil
import subprocess
import time
from types import SimpleNamespace

import pytest

import machines
import pacemaker
from cluster import clients
from pacemaker import Traffic, Watch, arrival_after
from solitary import SOURCE

EXAMPLE = SOURCE / "contrib" / "pacemaker" / "cib.xml"
LIMIT_S = 10


# -- the example as such ------------------------------------------------------------
@pytest.fixture
def simulated(folder):
    """simulated(option...): the status behind the example's cluster, running and then with that event."""
    for program in ("crm_simulate", "crm_verify"):
        if not shutil.which(program):
            pytest.skip(f"{program} (pacemaker-cli-utils) is not installed")

    def simulate(*events):
        file = EXAMPLE
        start = ("--quorum=true", *(f"--node-up={node}" for node in pacemaker.NODES))
        for number, options in enumerate((start, (), (), events)):
            result = folder / f"{number}.xml"
            done = subprocess.run(["crm_simulate", "--xml-file", file, "--simulate", f"--save-output={result}", *options],
                                  capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
            file = result
        return file, done.stdout

    return simulate


def places(text):
    """Where each resource is in the end, as crm_simulate shows it."""
    final = text.partition("Revised Cluster Status:")[2]
    return {line.split()[1]: line.split()[-1] for line in final.splitlines() if "Started" in line}


def parts(host):
    return [f"{host}-{part}" for part in ("address", "storage", "dovecot", "mailstead")]


def test_the_example_is_right(simulated):
    file, _ = simulated()
    done = subprocess.run(["crm_verify", "--xml-file", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_host_runs_whole_on_its_first_node(simulated):
    where = places(simulated()[1])
    assert {where[part] for part in parts("sv1")} == {"ha1"}
    assert {where[part] for part in parts("sv2")} == {"ha2"}
    assert all(where[f"fence-{node}"] != node for node in pacemaker.NODES)


@pytest.mark.parametrize("failed, sv1, sv2", [("ha1", "ha2", "ha2"), ("ha2", "ha1", "ha3"), ("ha3", "ha1", "ha2")])
def test_a_failed_node_is_fenced_and_its_host_goes_to_the_next(simulated, failed, sv1, sv2):
    _, text = simulated(f"--node-fail={failed}")
    assert f"Fencing {failed} (off)" in text
    where = places(text)
    assert {where[part] for part in parts("sv1")} == {sv1}
    assert {where[part] for part in parts("sv2")} == {sv2}


# -- three machines -----------------------------------------------------------------
@pytest.fixture(scope="module")
def cluster(build, tmp_path_factory, request):
    reason = machines.why_not() or pacemaker.why_not()
    if reason:
        pytest.skip(reason)
    folder = pacemaker.make_folder()
    try:
        yield from pacemaker.in_the_wire(folder, build)
    finally:
        if not request.session.testsfailed:
            shutil.rmtree(folder)


@pytest.fixture
def watched(cluster):
    """The calm cluster under traffic, watched; whatever happened, it is whole again after the test."""
    cluster.repair()
    watch, traffic = Watch(cluster, "sv1"), Traffic(cluster, "sv1")
    yield watch, traffic
    watch.end()
    traffic.end()


def blow_power(cluster, node, _):
    node.power_off()


def blow_hang(cluster, node, traffic):
    """A login and a message are there and have no answer yet, when the power fails."""
    node.run("pkill", "-STOP", "-f", f"mailstead-backend -c {cluster.folder}/sv1/")
    pacemaker.wait_until(lambda: time.monotonic() - traffic.trying_since > 0.3, "a login is under way", 20)
    node.power_off()


def blow_crash(cluster, node, _):
    """The kernel dies, the plug stays in: everything at once, but peers are told."""
    node.crash()


def blow_cut(cluster, node, _):
    """The cluster manager hears nothing of it any more; clients still reach it."""
    node.unplug("ring")


def blow_deaf(cluster, node, _):
    """One way only: it hears nothing, and is heard."""
    for other in cluster.nodes.values():
        if other is not node:
            node.deafen(other)


def blow_standby(cluster, node, _):
    cluster.crm("crm_standby", "--node", node.name, "-v", "on")


def blow_daemon(cluster, node, _):
    """The backend alone: it is started again where it was."""
    node.run("pkill", "-KILL", "-o", "-f", f"mailstead-backend -c {cluster.folder}/sv1/")


@pytest.mark.long
@pytest.mark.parametrize("blow, moves", [(blow_power, True), (blow_hang, True), (blow_crash, True), (blow_cut, True),
                                         (blow_deaf, True), (blow_standby, True), (blow_daemon, False)])
def test_a_backend_survives_with_one_owner_and_all_of_its_mail(cluster, watched, blow, moves):
    watch, traffic = watched
    account = cluster.mail.accounts_of("sv1")[-2]
    before = cluster.owner("sv1")
    pacemaker.wait_until(lambda: len(traffic.taken) > 5 and len(traffic.logins) > 5, "there is traffic", 20)
    moment = time.monotonic()
    blow(cluster, cluster.nodes[before], traffic)
    # Who is only cut off goes on serving until he is fenced: that is no success yet.
    pacemaker.wait_until(lambda: cluster.owner("sv1") not in (None, before if moves else None), "sv1 is whole again", 40)
    whole = time.monotonic()
    arrived_s = arrival_after(cluster, account, f"after {blow.__name__}", moment)
    login = pacemaker.wait_until(lambda: traffic.first_login_after(whole - 1), "a login succeeds", 30)
    traffic.end()
    watch.end()
    print(f"{blow.__name__}: {before} -> {cluster.owner('sv1')}, whole after {whole - moment:.1f} s, login after "
          f"{login - moment:.1f} s, a new message read after {arrived_s:.1f} s; {len(traffic.taken)} messages taken, "
          f"{watch.samples} samples, longest gap {watch.longest_gap_s * 1000:.0f} ms")
    assert watch.doubles == []
    pacemaker.wait_until(lambda: not traffic.missing(), f"every message that was taken is there: {traffic.missing()}", 30, 0.5)
    assert login - moment <= LIMIT_S and arrived_s <= LIMIT_S


@pytest.mark.long
def test_nothing_moves_while_fencing_is_refused(cluster, watched):
    watch, traffic = watched
    before = cluster.owner("sv1")
    cluster.power.refuses = True
    try:
        cluster.power.orders.clear()
        cluster.nodes[before].unplug("ring")
        pacemaker.wait_until(lambda: cluster.power.orders.count(("off", before)) >= 2, "fencing is tried again", 60)
        assert cluster.owners("sv1") == [before] and watch.doubles == []
        assert cluster.nodes[before].is_on()
        assert clients.refusal(cluster.fe1, cluster.mail.accounts_of("sv1")[0]) == "", "it still serves its clients"
    finally:
        cluster.power.refuses = False
    pacemaker.wait_until(lambda: cluster.owner("sv1") not in (None, before), "once it is fenced, sv1 moves", 60)
    traffic.end()
    watch.end()
    assert watch.doubles == []
    pacemaker.wait_until(lambda: not traffic.missing(), f"every message that was taken is there: {traffic.missing()}", 30, 0.5)


@pytest.mark.long
def test_a_second_daemon_of_a_host_serves_nothing_of_a_storage_that_is_mounted_twice(cluster):
    cluster.repair()
    first, second = cluster.nodes[cluster.owner("sv1")], cluster.nodes["ha3"]
    configuration = cluster.folder / "second.conf"
    text = (cluster.folder / "sv1" / "mailstead.conf").read_text()
    configuration.write_text(text.replace(f'address = "{cluster.mail.backends["sv1"].address}:',
                                          f'address = "{second.address()}:'))
    second.run("mount", "--bind", cluster.shared["sv1"], cluster.storages["sv1"])
    daemon = second.launch(cluster.mail.build / "mailstead-backend", "-c", configuration)
    try:
        pacemaker.wait_until(lambda: 'locked by node "sv1"' in cluster.mailstead(second, "sv1", "storage", "status").stdout,
                             "it is refused the storage", 20, 0.2)
        answer = clients.lmtp_answer(SimpleNamespace(address=second.address()), cluster.mail.accounts_of("sv1")[0].address)
        assert answer.startswith(b"451"), answer
        assert cluster.mailstead(second, "sv1", "storage", "attach", "--fenced", "sv1").returncode == 1
        assert cluster.parts(first, "sv1") == pacemaker.PARTS
        assert clients.refusal(cluster.fe1, cluster.mail.accounts_of("sv1")[0]) == ""
    finally:
        second.run("pkill", "-TERM", "-f", f"mailstead-backend -c {configuration}")
        daemon.wait()
        second.run("umount", cluster.storages["sv1"])


@pytest.mark.long
def test_ocf_tester_passes_inside_a_node(cluster):
    if not shutil.which("ocf-tester"):
        pytest.skip("ocf-tester (resource-agents) is not installed")
    cluster.repair()
    node = cluster.nodes["ha3"]
    folder = cluster.folder / "tester"
    parameters = pacemaker.solitary_parameters(folder, cluster.mail.build)
    words = [word for name, value in parameters.items() for word in ("-o", f"{name}={value}")]
    done = subprocess.run(node.command(["ocf-tester", "-n", "tester", *words,
                                        "/usr/lib/ocf/resource.d/mailstead/mailstead"]), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    words = [word for name, value in parameters.items() for word in ("--option", f"{name}={value}")]
    node.run("crm_resource", "--validate", "--class", "ocf", "--provider", "mailstead", "--agent", "mailstead", *words)
