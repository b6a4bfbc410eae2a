# SPDX-License-Identifier: Apache-2.0
"""The `mailstead` command, for people and with --json."""
import json

import pytest

from cluster import clients, wait_until


def test_status_tells_what_runs_and_how_the_backends_are(cluster, frontend):
    wait_until(lambda: all(name in frontend.admin().text("status") for name in cluster.backends),
               "status shows the health of all backends", 10, 0.1)
    status, = frontend.admin().json("status")
    assert status["program"] == "mailstead-frontend"
    assert {process["role"] for process in status["processes"]} == {"control", "directory", "queue", "admin", "worker"}
    assert [backend["backend"] for backend in status["backends"]] == list(cluster.backends)
    assert status["mirror"]["is_synchronised"] and status["problems"] == []


def test_status_of_a_backend_node(cluster):
    daemon = cluster.backends["sv1"].daemon
    assert daemon.admin().text("status")
    assert daemon.admin().json("status")


def test_status_tells_that_a_backend_is_down(fe1, down):
    before = fe1.admin().text("status")
    assert "down" not in before
    down("sv3")
    wait_until(lambda: any("sv3" in line and "down" in line for line in fe1.admin().text("status").splitlines()),
               "status shows that sv3 is down", 20, 0.1)


def test_status_check_is_for_monitoring(fe1, down):
    wait_until(lambda: fe1.admin().run("status", "--check").returncode == 0, "all is well", 10, 0.1)
    assert fe1.admin().text("status", "--check") == "ok\n"
    down("sv3")
    wait_until(lambda: fe1.admin().run("status", "--check").returncode == 1, "something is wrong", 20, 0.1)
    assert "backend sv3: " in fe1.admin().run("status", "--check").stdout


def test_lookup_names_the_owner(fe1, fresh):
    account = fresh("sv2")
    for name in (account.address, account.alias, f"{account.uid}+x@example.org", account.address.upper()):
        answer = fe1.admin().json("lookup", name)
        assert "sv2" in json.dumps(answer) and account.address in json.dumps(answer), name


def test_lookup_why_tells_each_step(fe1, fresh):
    account = fresh("sv3")
    text = fe1.admin().text("lookup", f"{account.uid}+detail@example.org", "--why")
    assert "sv3" in text and "detail" in text
    assert len(text.splitlines()) > len(fe1.admin().text("lookup", account.address).splitlines())
    assert fe1.admin().json("lookup", account.address, "--why")


@pytest.mark.parametrize("name, outcome", [("nobody-here@example.org", "unknown"),
                                           ("someone@elsewhere.example", "not")])
def test_lookup_of_what_is_not_there(fe1, name, outcome):
    done = fe1.admin().run("lookup", name)
    assert outcome in (done.stdout + done.stderr).lower()


def test_queue_list_show_and_flush(fe1, fresh, arrives, down):
    account, backend = fresh("sv3"), down("sv3")
    message = clients.make_message("queued", [account.address])
    assert clients.send(fe1, [account.address], message, sender="sender@example.com") == {}
    listed, = [message for message in fe1.admin().json("queue", "list")
               if message["recipients"][0]["address"] == account.address]
    assert account.address in fe1.admin().text("queue", "list")
    shown = fe1.admin().text("queue", "show", listed["id"])
    assert account.address in shown and "sender@example.com" in shown and "sv3" in shown
    assert account.address in json.dumps(fe1.admin().json("queue", "show", listed["id"]))
    backend.start()
    fe1.admin().text("queue", "flush")
    arrives(account, "queued")
    wait_until(lambda: not fe1.admin().queued(account), "nothing waits in the queue")


def test_orders_to_the_queue(fe1, fresh, arrives, down):
    sender, kept, deleted, bounced = fresh("sv1"), *fresh("sv3", 3)
    backend, admin = down("sv3"), fe1.admin()
    for account in (kept, deleted, bounced):
        message = clients.make_message(f"ordered {account.uid}", [account.address])
        assert clients.send(fe1, [account.address], message, sender=sender.address) == {}
    assert admin.run("queue", "delete").returncode == 2  # not everything by mistake
    held, = admin.json("queue", "hold", "--sender", sender.address)
    assert (held["matched"], held["changed"], held["messages"]) == (3, 3, 3)
    assert len(admin.json("queue", "list", "--state", "held", "--domain", "example.org")) == 3
    assert "3 held" in admin.text("queue", "stat")
    admin.text("queue", "delete", "--recipient", deleted.address, "--dry-run")
    assert admin.queued(deleted) == 1
    admin.text("queue", "delete", "--recipient", deleted.address)
    assert admin.queued(deleted) == 0
    listed, = admin.json("queue", "list", "--recipient", bounced.address)
    assert "1 recipient of 1 message given up" in admin.text("queue", "bounce", listed["id"])
    assert bounced.address.encode() in arrives(sender, "Undelivered mail returned to sender")
    backend.start()
    admin.text("queue", "flush", "--all")
    assert admin.queued(kept) == 1
    admin.text("queue", "release", "--backend", "sv3")
    arrives(kept, f"ordered {kept.uid}")
    wait_until(lambda: not admin.queued(kept, deleted, bounced, sender), "nothing waits in the queue")


def test_queue_show_of_an_unknown_message_fails(fe1):
    done = fe1.admin().run("queue", "show", "no-such-message")
    assert done.returncode != 0 and done.stderr


def test_commands_that_do_not_exist_fail_with_a_hint(fe1):
    for arguments in (("nonsense",), ("queue", "nonsense"), ("reassign", "--nonsense"), ()):
        done = fe1.admin().run(*arguments)
        assert done.returncode != 0
        assert "usage" in done.stderr.lower() or "unknown" in done.stderr.lower()


def test_a_daemon_that_does_not_run_is_named(fe2):
    assert fe2.stop()
    try:
        done = fe2.admin().run("status")
        assert done.returncode != 0
        assert str(fe2.run_folder) in done.stderr or "mailstead-frontend" in done.stderr
    finally:
        fe2.start()


def test_an_order_without_a_choice_is_refused_by_the_name_of_its_command(cluster, fe1):
    for word in ("hold", "release", "delete", "bounce"):
        refused = fe1.admin().run("queue", word)
        assert refused.returncode == 2 and f"mailstead queue {word}: say which messages" in refused.stderr
