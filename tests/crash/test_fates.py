# SPDX-License-Identifier: Apache-2.0
"""One message, very different backends: every recipient has one fate, and its sender hears of each failure once."""
import smtplib

from cluster import Network

from harness import Run
from ledger import Ledger, body_of

RECIPIENTS = 100


def test_a_hundred_recipients_over_three_backends_have_one_fate_each(crash_cluster):
    run = Run(crash_cluster, "fates")
    hosts = list(crash_cluster.backends)
    accounts = [crash_cluster.accounts_of(hosts[number % 3])[10 + number // 3] for number in range(RECIPIENTS)]
    run.ledger = Ledger({account.address: account.host for account in [*accounts, run.sender]})
    away, refusing, late = crash_cluster.sinks()
    for sink in crash_cluster.sinks():
        sink.ledger, sink.is_good = run.ledger, True
    addresses = [account.address for account in accounts]
    away.refuse_connections()
    refusing.refused = {account.address for account in accounts if account.host == refusing.name}
    refusing.refused = set(sorted(refusing.refused)[:2])
    late.late_s = 0.01
    name = "a hundred"
    run.ledger.attempt(addresses, name)
    with smtplib.SMTP(run.frontend.address, Network.SMTP, timeout=30) as smtp:
        refused = smtp.sendmail(run.sender.address, addresses,
                                f"Subject: {name}\r\n\r\n".encode() + body_of(name, 50))
    run.ledger.accept([address for address in addresses if address not in refused], name)
    assert not refused
    run.calm()
    late.late_s, failed = 0, refusing.refused
    refusing.refused = set()
    assert not run.ledger.faults(), "\n".join(map(str, run.ledger.faults()))
    taken = [arrival.address for arrival in run.ledger.arrivals if arrival.name == name]
    assert sorted(taken) == sorted(set(addresses) - failed)
    assert {address for address, _ in run.ledger.reports} == failed
    assert all(len(reports) == 1 for reports in run.ledger.reports.values())
