# SPDX-License-Identifier: Apache-2.0
"""The crash harness runs in a cluster of its own: see harness.py.

    MAILSTEAD_BUILD=FOLDER MAILSTEAD_SEEDS=200 /usr/bin/python3 -m pytest tests/crash
"""
import importlib.util
import sys
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
SYSTEM = Path(__file__).resolve().parents[1] / "system"
sys.path[:0] = [str(Path(__file__).resolve().parent), str(SYSTEM)]

specification = importlib.util.spec_from_file_location("system_conftest", SYSTEM / "conftest.py")
system_conftest = importlib.util.module_from_spec(specification)
specification.loader.exec_module(system_conftest)

from cluster import Network  # noqa: E402
from harness import CrashCluster  # noqa: E402

build, running = system_conftest.build, system_conftest.running
pytest_terminal_summary = system_conftest.pytest_terminal_summary


@pytest.fixture(scope="session")
def crash_cluster(build, request):
    # Without it the kernel remembers what was never synced, or the ledger blames the queue.
    if not (build / "tests" / "crash" / "forgetful.so").exists():
        pytest.exit("first: make tests/crash/forgetful.so", 2)
    with running(lambda folder: CrashCluster(folder, Network.find(), build), request) as cluster:
        yield cluster
