# SPDX-License-Identifier: Apache-2.0
"""A daemon of the cluster with another configuration for a while."""
import re
import signal
from contextlib import contextmanager

from cluster import wait_until


def reload(daemon):
    """SIGHUP; waits until a new generation serves, the old one accepts no more, and singles have successors."""
    size = daemon.process.log_file.stat().st_size
    daemon.process.signal(signal.SIGHUP)

    def text():
        with open(daemon.process.log_file, errors="replace") as log:
            log.seek(size)
            return log.read()

    def is_over():
        said = text()
        is_ready = "event=ready" in said and "event=child_started role=directory" in said
        return "event=reload_refused" in said or (is_ready and len(re.findall("event=draining", said)) >= 2)

    wait_until(is_over, "the reload is over", 30)
    return text()


@contextmanager
def configured(daemon, edit):
    """The daemon runs with its configuration as `edit` makes it, then as it was."""
    good = daemon.configuration.read_text()
    try:
        daemon.configuration.write_text(edit(good))
        assert "event=reload_refused" not in reload(daemon)
        yield
    finally:
        daemon.configuration.write_text(good)
        reload(daemon)
