# SPDX-License-Identifier: Apache-2.0
"""The command with a changed copy of a daemon's configuration."""
import re

from cluster.mailstead import Admin


class Variant(Admin):
    """`changes` are options of whatever section and their new values, as text."""

    def __init__(self, daemon, folder, **changes):
        super().__init__(daemon)
        self.folder = folder
        self.file = folder / "mailstead.conf"
        text = daemon.configuration.read_text()
        for name, value in changes.items():
            text = re.sub(rf"(?m)^    {name} = .*$", f"    {name} = {value}", text)
        self.file.write_text(text)

    def command(self, *arguments):
        return [str(self.daemon.cluster.build / "mailstead"), "-c", str(self.file), *map(str, arguments)]
