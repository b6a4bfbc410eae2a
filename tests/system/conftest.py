# SPDX-License-Identifier: Apache-2.0
"""One cluster of real parts for all system tests.

    MAILSTEAD_BUILD=FOLDER /usr/bin/python3 -m pytest tests/system

Each test takes accounts that no other test uses, and leaves every server running.  A
sanitizer's report or a failed assertion in any log fails the test in which it appeared.  The
folder with all logs is kept, and named, when anything failed.
"""
import os
import re
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "contrib"),
                str(Path(__file__).resolve().parents[1] / "crash")]

from cluster import Cluster, Network, TroubleError, clients, wait_until  # noqa: E402
from desk import Desk  # noqa: E402
from scripted import FORWARD, ReturningCluster, ReusingCluster, ScriptedCluster  # noqa: E402

BUG = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|\bbug:|Assertion .* failed|"
                 r"stack smashing|double free|event=child_died (?!.*name=KILL)|event=child_cannot_run")
KEPT = pytest.StashKey()  # the clusters' folders, when something failed


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also the tests that take long")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes long; runs with --long")


# The files that take longest are begun first, so that none is left alone at the end of a run in parallel.
LONGEST = ["test_replica", "test_failover", "test_reassign_refused", "test_processes", "test_reassign_options",
           "test_ramp", "test_submission", "test_reassign_killed", "test_storage", "test_clients", "test_backends"]


def pytest_collection_modifyitems(config, items):
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="needs --long"))


@pytest.fixture(scope="session")
def build():
    folder = os.environ.get("MAILSTEAD_BUILD")
    if not folder:
        pytest.exit("MAILSTEAD_BUILD must name the folder that Mailstead was built in", 2)
    return Path(folder).resolve()


@contextmanager
def running(make, request):
    """The cluster that make(folder) gives, running; every account's frontends know it."""
    folder = Path(tempfile.mkdtemp(prefix="ms-", dir="/tmp"))
    folder.chmod(0o755)
    cluster = make(folder)
    try:
        cluster.create()
        cluster.start()
        for host in cluster.backends:
            for frontend in cluster.frontends.values():
                account = cluster.accounts_of(host)[-1]
                wait_until(lambda f=frontend, a=account: f.serves(a), f"{frontend.name} serves {host}", 30)
        yield cluster
        stubborn = cluster.stop()
        assert not stubborn, f"had to be killed at the end: {stubborn}"
        reports = bug_lines(cluster, {})
        assert not reports, "\n".join(reports)
    except BaseException:
        request.session.testsfailed = request.session.testsfailed or 1
        raise
    finally:
        cluster.stop()
        if request.session.testsfailed:
            request.config.stash.setdefault(KEPT, []).append(folder)
        else:
            shutil.rmtree(folder)


@pytest.fixture(scope="session")
def cluster(build, request):
    """The running cluster: three backends, two frontends with two workers each."""
    with running(lambda folder: Cluster(folder, Network.find(), build, account_count=600,
                                        timeouts={"login_s": 6, "command_s": 6, "login_hold_s": 2}, spare="sv4"),
                 request) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def scripted_cluster(build, request):
    """Three frontends with scripted servers in the places of the backends and of the relay host."""
    with running(lambda folder: ScriptedCluster(folder, Network.find(), build), request) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def returning_cluster(build, request):
    with running(lambda folder: ReturningCluster(folder, Network.find(), build), request) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def reusing_cluster(build, request):
    with running(lambda folder: ReusingCluster(folder, Network.find(), build), request) as cluster:
        yield cluster


def pytest_terminal_summary(terminalreporter, config):
    for folder in config.stash.get(KEPT, []):
        terminalreporter.write_line(f"the cluster's folder is kept: {folder}")


def log_sizes(cluster):
    return {file: file.stat().st_size for file in (cluster.folder / "log").glob("*.log")}


def bug_lines(cluster, sizes):
    """The lines of the logs, from `sizes` on, that no healthy run has."""
    found = []
    for file in sorted((cluster.folder / "log").glob("mailstead-*.log")):
        with open(file, errors="replace") as log:
            log.seek(sizes.get(file, 0))
            lines = log.read().splitlines()
        for number, line in enumerate(lines):
            if BUG.search(line):
                found.append(f"{file.name}:")
                found += lines[number:number + 30]
                break
    return found


@pytest.fixture(autouse=True)
def healthy(request):
    """Nothing bad in the logs, and everything runs when the test is over."""
    used = [name for name in ("cluster", "scripted_cluster") if name in request.fixturenames]
    if not used:
        yield
        return
    cluster = request.getfixturevalue(used[0])
    sizes = log_sizes(cluster)
    before = {process: process.pid for process in cluster.processes()}
    yield
    dead = [process for process in cluster.processes() if not process.is_running()]
    for process in dead:
        process.start()
    restarted = [process for process, pid in before.items() if process.pid != pid]
    if used[0] == "cluster":
        wait_for_what_restarted(cluster, restarted)
    reports = bug_lines(cluster, sizes)
    assert not reports, "\n".join(reports)
    assert not dead, f"not running after the test: {[process.name for process in dead]}"


def wait_for_what_restarted(cluster, restarted):
    """The next test finds everybody in touch with everybody again."""
    if {cluster.slapd.process, cluster.replica.process}.intersection(restarted):
        wait_for_slapd(cluster)
    for name, backend in cluster.backends.items():
        if any(process in restarted for process in backend.processes()):
            wait_for_health(cluster, name)


@pytest.fixture(scope="session")
def fresh(cluster):
    """fresh("sv1"): an account of sv1 that no test had before; fresh("sv1", 3): a list of three."""
    return giver(cluster)


def giver(cluster):
    left = {host: cluster.accounts_of(host) for host in cluster.backends}

    def take(host, count=None):
        assert len(left[host]) >= (count or 1), f"{host} has no accounts left: the cluster needs more"
        taken = [left[host].pop(0) for _ in range(count or 1)]
        return taken if count else taken[0]

    return take


@pytest.fixture(scope="session")
def unused(scripted_cluster):
    """As fresh, in the scripted cluster."""
    return giver(scripted_cluster)


@pytest.fixture(scope="session")
def forward(scripted_cluster):
    """An address of an entry without a backend that matches relay_filter."""
    scripted_cluster.slapd.add(FORWARD.format(name="forward"))
    for frontend in scripted_cluster.frontends.values():
        wait_until(lambda f=frontend: "relay" in f.admin().text("lookup", "forward@example.org"),
                   "the forward is known", 10)
    return "forward@example.org"


@pytest.fixture
def stage(scripted_cluster):
    """The scripted cluster, all of its servers as good as new, now and when the test is over."""
    for server in scripted_cluster.servers():
        server.forget()
    yield scripted_cluster
    for server in scripted_cluster.servers():
        server.forget()


@pytest.fixture(scope="session")
def tls(cluster):
    return clients.trusting(cluster)


@pytest.fixture(scope="session")
def fe1(cluster):
    return cluster.frontends["fe1"]


@pytest.fixture(scope="session")
def fe2(cluster):
    return cluster.frontends["fe2"]


@pytest.fixture(params=["fe1", "fe2"])
def frontend(request, cluster):
    return cluster.frontends[request.param]


@pytest.fixture
def down(cluster):
    """down("sv1"): kills a backend; it is started again when the test is over, if not before."""
    killed = []

    def kill(name):
        cluster.backends[name].kill()
        killed.append(cluster.backends[name])
        return cluster.backends[name]

    yield kill
    for backend in killed:
        backend.start()


@pytest.fixture
def no_slapd(cluster):
    """slapd is stopped; it runs again when the test is over."""
    cluster.slapd.stop()
    yield
    cluster.slapd.start()


def wait_for_slapd(cluster):
    """Waits until everyone who follows slapd has found it again."""
    cluster.replica.wait_for_provider()
    daemons = [*cluster.frontends.values(), *(backend.daemon for backend in cluster.backends.values())]
    for daemon in daemons:
        wait_until(lambda d=daemon: d.admin().json("status")[0]["mirror"]["is_connected"],
                   f"{daemon.name} has found slapd again", 30, 0.1)


def outlived_by_slapd(cluster, attempt):
    """What `attempt()` gives when slapd has outlived it.  OpenLDAP 2.5 may fall over a transaction
    that is not committed: then it is started again, which proves nothing, and so is the attempt."""
    for _ in range(10):
        pid = cluster.slapd.process.pid
        result = attempt()
        if cluster.slapd.process.pid == pid:
            return result
        cluster.slapd.start()
        wait_for_slapd(cluster)
    raise TroubleError("slapd died ten times")


def wait_for_health(cluster, host):
    """Waits until every frontend serves an account of `host` again, in each protocol."""
    account = cluster.accounts_of(host)[-1]
    for frontend in cluster.frontends.values():
        wait_until(lambda f=frontend: f.sees_up(host) and f.serves(account), f"{frontend.name} serves {host} again",
                   30, 0.05)


@pytest.fixture
def arrives(cluster):
    """arrives(account, subject): waits until the message is in the account's INBOX, and gives it."""

    def wait(account, subject, server=None, seconds=30):
        server = server or cluster.frontends["fe1"]
        found = []

        def is_there():
            try:
                found[:] = [message for message in clients.read_by_imap(server, account)
                            if clients.subjects([message]) == [subject]]
            except clients.REFUSALS as refusal:
                found[:] = [str(refusal)]
                return False
            return bool(found)

        try:
            wait_until(is_there, f'"{subject}" arrives at {account.address}', seconds, 0.05)
        except TroubleError as trouble:
            raise AssertionError(f"{trouble}; last seen: {found}") from None
        return found[0]

    return wait


@pytest.fixture(scope="session")
def open_folder():
    """open_folder(): a new folder that the users of servers can reach, as pytest's own cannot; gone at the end."""
    folders = []

    def make():
        folders.append(Path(tempfile.mkdtemp(prefix="ms-", dir="/tmp")))
        folders[-1].chmod(0o755)
        return folders[-1]

    yield make
    for folder in folders:
        shutil.rmtree(folder)


@pytest.fixture
def desk(build, request):
    """desk(ldif, ...): a slapd and a configuration for the command alone (Desk), gone after the test."""
    desks, folders = [], []

    def make(*arguments, **options):
        folders.append(Path(tempfile.mkdtemp(prefix="ms-desk-", dir="/tmp")))
        folders[-1].chmod(0o755)
        desks.append(Desk(folders[-1], build, *arguments, **options))
        return desks[-1]

    yield make
    for made in desks:
        made.stop()
    for folder in folders:
        shutil.rmtree(folder)
