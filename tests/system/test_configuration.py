# SPDX-License-Identifier: Apache-2.0
"""A configuration error names file, line and option, and nothing starts half."""
import subprocess

import pytest

CHANGES = {
    "an option that does not exist": ("workers = 2", "wrokers = 2", "wrokers"),
    "a number out of its range": ("workers = 2", "workers = 1000", "workers"),
    "text for a number": ("workers = 2", 'workers = "many"', "workers"),
    "a word that is none of those allowed": ('protocol = "imap"', 'protocol = "imop"', "protocol"),
    "an address without a port": (":1143", "", "address"),
    "a section that does not exist": ("health {", "wealth {", "wealth"),
    "a brace that is missing": ("health {", "health", "health"),
    "a URI that is none": ('"ldap://', '"http://', "uri"),
    "a file that is not there": ("/tls/fe1.pem", "/tls/absent.pem", "absent.pem"),
}


@pytest.mark.parametrize("old, new, named", CHANGES.values(), ids=CHANGES.keys())
def test_an_error_names_file_line_and_option(fe1, tmp_path, old, new, named):
    text = fe1.configuration.read_text()
    assert old in text
    bad = tmp_path / "bad.conf"
    bad.write_text(text.replace(old, new, 1))
    line = text[:text.index(old)].count("\n") + 1
    for command in ([fe1.cluster.build / "mailstead", "-c", bad, "check"],
                    [fe1.cluster.build / "mailstead-frontend", "-c", bad]):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=20,
                              stdin=subprocess.DEVNULL)
        assert done.returncode not in (0, -6, -11)
        complaint = done.stdout + done.stderr
        assert named in complaint
        assert any(f"{bad}:{number}" in complaint for number in (line, line + 1)), complaint


def test_a_good_configuration_passes(cluster):
    for daemon in [*cluster.frontends.values(), *(backend.daemon for backend in cluster.backends.values())]:
        daemon.admin().text("check")
        assert daemon.admin().run("check", "--json").returncode == 0


def test_a_port_that_is_taken_is_one_clear_line(cluster, fe1, tmp_path):
    """A second frontend with the same configuration but other folders."""
    text = fe1.configuration.read_text().replace(str(fe1.folder), str(tmp_path))
    copy = tmp_path / "second.conf"
    copy.write_text(text)
    done = subprocess.run([str(cluster.build / "mailstead-frontend"), "-c", str(copy)], capture_output=True,
                          text=True, timeout=20, stdin=subprocess.DEVNULL)
    assert done.returncode not in (0, -6, -11)
    assert fe1.address in done.stderr
    assert fe1.serves(cluster.accounts_of("sv1")[-1])


def test_a_second_daemon_in_the_same_folder_is_refused(cluster, fe1):
    done = subprocess.run([str(cluster.build / "mailstead-frontend"), "-c", str(fe1.configuration)],
                          capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    assert done.returncode not in (0, -6, -11)
    assert fe1.admin().run("status").returncode == 0


def test_a_second_frontend_with_the_same_queue_is_refused_and_told_whose_it_is(cluster, fe1, tmp_path):
    text = fe1.configuration.read_text().replace(str(fe1.run_folder), f"{tmp_path}/run")
    text = text.replace(str(fe1.state_folder), f"{tmp_path}/state").replace(fe1.address, cluster.network.address(71))
    second = tmp_path / "second.conf"
    second.write_text(text)
    done = subprocess.run([str(cluster.build / "mailstead-frontend"), "-c", str(second)], capture_output=True,
                          text=True, timeout=20, stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    pid, = fe1.children("queue")
    assert f"queue.directory: {fe1.queue_folder()}: another queue process uses it: {pid}, of " in done.stderr
    assert str(cluster.build) in done.stderr
    assert fe1.admin().run("queue", "stat").returncode == 0
