# SPDX-License-Identifier: Apache-2.0
"""A secret is in the memory of the processes that use it, and of no other."""
import os
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root reads the memory of other processes")

LARGEST = 1 << 28  # a sanitizer's shadow memory is larger, and nobody's data


def memory_of(pid):
    """The content of each readable mapping."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, permissions, *_ = line.split()
            start, end = (int(number, 16) for number in place.split("-"))
            if permissions[0] != "r" or end - start > LARGEST:
                continue
            try:
                memory.seek(start)
                yield memory.read(end - start)
            except OSError:  # not backed by memory
                continue


def private_number(key_file):
    """The number that makes the key private, as bytes, the first one first."""
    text = subprocess.run(["openssl", "pkey", "-in", key_file, "-noout", "-text"], check=True,
                          capture_output=True, text=True).stdout
    digits = re.search(r"priv:\n((?:\s+[0-9a-f:]+\n)+)", text).group(1)
    return bytes.fromhex(re.sub(r"[\s:]", "", digits)).lstrip(b"\0")


@pytest.fixture(scope="module")
def secrets(cluster):
    key_file = cluster.certificates.key("fe1")
    number = private_number(key_file)
    return {
        "password": [Path(cluster.slapd.secret_file("mailstead")).read_bytes().strip()],
        # As a library holds it in either order of bytes, and as the file has it.
        "key": [number, number[::-1], Path(key_file).read_bytes().splitlines()[1]],
    }


@pytest.mark.parametrize("role, expected", [("control", set()), ("directory", {"password"}),
                                            ("queue", set()), ("worker", {"key"})])
def test_a_process_has_only_the_secrets_that_it_uses(cluster, fe1, secrets, role, expected):
    pid = fe1.children(role)[0]
    memory = list(memory_of(pid))
    found = {name for name, forms in secrets.items()
             for form in forms if any(form in mapping for mapping in memory)}
    assert found == expected
