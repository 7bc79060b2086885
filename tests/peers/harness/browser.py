"""Headless Chromium, told what to do over its debugging pipe.

The pipe rather than `--dump-dom`: it waits for the page's own promise in real time,
where `--dump-dom` writes the page at its load event or in virtual time.
"""

import base64
import contextlib
import fcntl
import json
import os
import select
import subprocess
import time

from .process import Failure

START_SECONDS = 60

FLAGS = """
--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking
--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars
--window-size=1280,900 --enable-quic --remote-debugging-pipe
""".split()

# fcntl's number for the first descriptor tried, clear of the 3 and 4 Chromium wants.
CLEAR = 10


class Browser:
    """A Chromium with a new profile that speaks only QUIC to `localhost:port`."""

    def __init__(self, program, port, spki, profile, log):
        self.command = [
            program,
            *FLAGS,
            f"--user-data-dir={profile}",
            f"--origin-to-force-quic-on=localhost:{port}",
            "--host-resolver-rules=MAP localhost 127.0.0.1",
            f"--ignore-certificate-errors-spki-list={spki}",
            "about:blank",
        ]
        self.origin = f"https://localhost:{port}"
        self.log = log
        self.received = b""
        self.last_id = 0

    def __enter__(self):
        theirs_in, self.to_browser = clear_pipe()
        self.from_browser, theirs_out = clear_pipe()
        shell = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            try:
                self.process = subprocess.Popen(
                    ["bash", "-c", shell, "bash", *self.command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(theirs_in, theirs_out),
                )
            finally:
                os.close(theirs_in)
                os.close(theirs_out)
        targets = self.call("Target.getTargets", {}, START_SECONDS)["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", {"targetId": page, "flatten": True}, 10)
        self.session = attached["sessionId"]
        self.call("Page.enable", {}, 10)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(Failure, OSError):
            self.session = None
            self.call("Browser.close", {}, 10)
        os.close(self.to_browser)
        os.close(self.from_browser)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    session = None

    def navigate(self, path, seconds):
        """Opens a page of the server and waits until it is loaded."""
        answer = self.call("Page.navigate", {"url": self.origin + path}, seconds)
        if "errorText" in answer:
            raise Failure(f"navigation: {answer['errorText']}")
        loaded = (
            "new Promise(r => document.readyState === 'complete' ? r('')"
            " : addEventListener('load', () => r('')))"
        )
        self.evaluate(loaded, seconds)

    def evaluate(self, expression, seconds):
        """The value of a JavaScript expression, awaited if it is a promise."""
        parameters = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        answer = self.call("Runtime.evaluate", parameters, seconds)
        if "exceptionDetails" in answer:
            raise Failure(f"page: {answer['exceptionDetails'].get('text')}")
        return answer["result"].get("value")

    def screenshot(self, path):
        """Writes a PNG of the page."""
        answer = self.call("Page.captureScreenshot", {"format": "png"}, 30)
        path.write_bytes(base64.b64decode(answer["data"]))

    def call(self, method, parameters, seconds):
        """Calls one method of the DevTools protocol; events meanwhile are dropped."""
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.to_browser, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + seconds
        while True:
            answer = self.next_message(method, deadline, seconds)
            if answer.get("id") != self.last_id:
                continue
            if "error" in answer:
                raise Failure(f"{method}: {answer['error']['message']}")
            return answer["result"]

    def next_message(self, method, deadline, seconds):
        while b"\0" not in self.received:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.from_browser], [], [], left)[0]:
                raise Failure(f"{method} not answered in {seconds} s")
            data = os.read(self.from_browser, 1 << 20)
            if not data:
                end = self.log.read_text(errors="replace")[-600:]
                raise Failure(f"chromium ended: {end}")
            self.received += data
        text, _, self.received = self.received.partition(b"\0")
        return json.loads(text)


def clear_pipe():
    """A pipe whose both ends are above the descriptors Chromium uses."""
    ends = []
    for end in os.pipe():
        ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, CLEAR))
        os.close(end)
    return ends
