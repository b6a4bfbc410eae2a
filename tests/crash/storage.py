# SPDX-License-Identifier: Apache-2.0
"""The test's side of forgetful.c: when to kill, when the power fails, and what is left then."""
import mmap
import os
import random
import re
import shutil
import struct
import subprocess
from pathlib import Path


class Storage:
    """The folder of a queue on storage that forgets what was not synced."""

    FIELDS = ("calls", "kill_at", "is_cut", "is_dark", "is_full")

    def __init__(self, library, program, queue, folder):
        self.libraries, self.queue = [*sanitizers(program), str(library)], Path(queue)
        self.shadow, self.file = Path(folder) / "shadow", Path(folder) / "forgetful"
        self.memory = None

    def create(self):
        self.shadow.mkdir(parents=True)
        self.shadow.chmod(0o777)
        self.file.write_bytes(bytes(8 * len(self.FIELDS)))
        self.file.chmod(0o666)
        with open(self.file, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)

    def environment(self):
        return {"LD_PRELOAD": " ".join(self.libraries), "FORGETFUL_FOLDER": str(self.queue),
                "FORGETFUL_SHADOW": str(self.shadow), "FORGETFUL_CONTROL": str(self.file)}

    # -- control -----------------------------------------------------------------
    def get(self, field):
        return struct.unpack_from("=Q", self.memory, 8 * self.FIELDS.index(field))[0]

    def set(self, field, value):
        struct.pack_into("=Q", self.memory, 8 * self.FIELDS.index(field), value)

    def kill_after(self, calls, is_cut=False):
        """Who makes the change with that number, counted from now, dies before it."""
        self.set("is_cut", int(is_cut))
        self.set("kill_at", self.get("calls") + calls)

    def is_armed(self):
        return self.get("kill_at") != 0

    def calm(self):
        for field in self.FIELDS[1:]:
            self.set(field, 0)

    # -- a power cut -------------------------------------------------------------
    def cut(self, chance):
        """After the power has failed and every process is dead: the folder as it is found then.

        Each file is as it was synced last, or as it was written last; so is each folder.
        """
        found = self.queue.with_name("found")
        self.copy_folder(self.queue, found, chance)
        shutil.rmtree(self.queue)
        found.rename(self.queue)
        self.forget_all()
        self.remember_folder(self.queue)

    def forget_all(self):
        for file in self.shadow.iterdir():
            file.unlink()

    def names(self, folder, chance):
        """{name: inode} of what is found in the folder."""
        synced = self.shadow / f"names-{folder.stat().st_ino}"
        if chance.random() < 0.5 or not synced.exists():
            written = {entry.name: entry.inode() for entry in os.scandir(folder)}
            # What was never synced, not even its folder, is not there for certain.
            return written if synced.exists() or folder.name == "incoming" else {}
        lines = [line.rsplit(" ", 1) for line in synced.read_text().splitlines()]
        return {name: int(inode) for name, inode in lines if name != "."}

    def copy_folder(self, folder, target, chance):
        target.mkdir()
        status = folder.stat()
        os.chown(target, status.st_uid, status.st_gid)
        target.chmod(status.st_mode & 0o777)
        for name, inode in self.names(folder, chance).items():
            if (folder / name).is_dir():
                self.copy_folder(folder / name, target / name, chance)
                continue
            (target / name).write_bytes(self.content(folder / name, inode, chance))
            os.chown(target / name, status.st_uid, status.st_gid)
            (target / name).chmod(0o600)

    def content(self, path, inode, chance):
        synced, kept = self.shadow / f"data-{inode}", self.shadow / f"kept-{inode}"
        if chance.random() < 0.5:
            for written in (path, kept):
                if written.exists() and written.stat().st_ino == inode:
                    return written.read_bytes()
        return synced.read_bytes() if synced.exists() else b""

    def remember_folder(self, folder):
        """What was found is on the disk."""
        entries = list(os.scandir(folder))
        (self.shadow / f"names-{folder.stat().st_ino}").write_text(
            "".join(f"{entry.name} {entry.inode()}\n" for entry in entries))
        for entry in entries:
            if entry.is_dir():
                self.remember_folder(Path(entry.path))
            else:
                shutil.copyfile(entry.path, self.shadow / f"data-{entry.inode()}")
        for file in self.shadow.iterdir():
            file.chmod(0o666)


def sanitizers(program):
    """Those that it is linked with: they want to be loaded first."""
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"=> (\S*/libasan\S*)", linked)


def chance_of(*words):
    """A generator that gives the same numbers for the same words."""
    return random.Random(" ".join(map(str, words)))
