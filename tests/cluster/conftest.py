# SPDX-License-Identifier: Apache-2.0
"""What cluster and service managers need of Mailstead, with real ones: see HACKING.

    MAILSTEAD_BUILD=FOLDER /usr/bin/python3 -m pytest tests/cluster [--long]

Whatever cannot be on this machine (another user than root, no namespaces, a package that is
absent) is skipped with its reason.
"""
import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.dont_write_bytecode = True
SYSTEM = Path(__file__).resolve().parents[1] / "system"
sys.path[:0] = [str(Path(__file__).resolve().parent), str(SYSTEM)]

specification = importlib.util.spec_from_file_location("system_conftest", SYSTEM / "conftest.py")
system_conftest = importlib.util.module_from_spec(specification)
specification.loader.exec_module(system_conftest)

build = system_conftest.build
pytest_addoption, pytest_configure = system_conftest.pytest_addoption, system_conftest.pytest_configure
pytest_collection_modifyitems = system_conftest.pytest_collection_modifyitems


@pytest.fixture
def folder(request):
    """A folder that the users of daemons can reach, gone after a test that passed."""
    path = Path(tempfile.mkdtemp(prefix="ms-manager-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    if not request.session.testsfailed:
        shutil.rmtree(path)
