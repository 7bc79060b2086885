"""The score: one line a case as it ends, one line at the end."""

import fnmatch
import threading
import time

from .process import Failure


class Report:
    """Prints `PASS name seconds` or `FAIL name seconds: why`, and counts. Thread-safe."""

    def __init__(self, only):
        self.only = only
        self.passed = 0
        self.failed = 0
        self.lock = threading.Lock()

    def wants(self, name):
        """Whether a case of that name was asked for."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.only)

    def case(self, name, function):
        """Runs one case, if it was asked for."""
        if not self.wants(name):
            return
        started = time.monotonic()
        try:
            remark, why = function(), None
        except Failure as failure:
            remark, why = None, str(failure)
        self.record(name, time.monotonic() - started, why, remark)

    def record(self, name, seconds, why=None, remark=None):
        """Counts a case: failed if there is a `why`."""
        with self.lock:
            if why is None:
                self.passed += 1
                print(f"PASS {name} {seconds:.1f}" + (f" ({remark})" if remark else ""), flush=True)
            else:
                self.failed += 1
                print(f"FAIL {name} {seconds:.1f}: {why}", flush=True)

    def end(self):
        """Prints the sum; the status of the run."""
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 0 if self.failed == 0 and self.passed > 0 else 1
