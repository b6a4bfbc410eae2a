# SPDX-License-Identifier: Apache-2.0
"""What goes on beside a test, in threads."""
import threading


class Threads:
    """`run` for each of `arguments`, from the begin of a with statement to its end, which sets `is_over`."""

    def __init__(self, arguments):
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(argument,)) for argument in arguments]

    def run(self, argument):
        raise NotImplementedError

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for thread in self.threads:
            thread.join()
