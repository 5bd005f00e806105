"""A real browser without a window, driven over its own protocol (Chrome DevTools): typing, clicking, reading.

Source: https://chromedevtools.github.io/devtools-protocol/
"""

import itertools
import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import websocket

from signoff.core.timeouts import Timeout
from signoff.core.waiting import NotYet, eventually

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PROGRAM = next(filter(None, map(shutil.which, NAMES)), None)
STARTED = Timeout(60, every=0.05)
SHOWN = Timeout(20, every=0.05)


@dataclass
class Page:
    """One open page."""

    socket: Any
    _serial: "itertools.count[int]" = field(default_factory=itertools.count)

    def call(self, method: str, **parameters: Any) -> Any:
        number = next(self._serial)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (told := json.loads(self.socket.recv())).get("id") != number:
            pass  # events that nobody asked for
        assert "error" not in told, told
        return told["result"]

    def read(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def shows(self, expression: str, value: Any) -> None:
        """Wait until a JavaScript expression has this value: a page is drawn some time after it is told something."""

        def look() -> None:
            if (seen := self.read(expression)) != value:
                raise NotYet(f"it is {seen!r}")

        eventually(f"{expression} to be {value!r}", SHOWN, look)

    def click(self, selector: str, times: int = 1) -> None:
        """Press the mouse in the middle of the element; three times select what a field holds."""
        self.read(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{block: 'center'}})")
        box = self.read(f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().toJSON()")
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "button": "left"}
        for count in range(1, times + 1):
            for event in ("mousePressed", "mouseReleased"):
                self.call("Input.dispatchMouseEvent", type=event, clickCount=count, **at)

    def type(self, text: str) -> None:
        """Press the keys of the text, one by one."""
        for letter in text:
            self.call("Input.dispatchKeyEvent", type="keyDown", text=letter, key=letter)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=letter)


@contextmanager
def browse(file: Path, folder: Path) -> Iterator[Page]:
    """Open the file; the browser keeps its own files in `folder` and ends with the block."""
    assert PROGRAM is not None
    url = file.absolute().as_uri()
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1200,900"]
    command = [PROGRAM, *options, "--remote-debugging-port=0", f"--user-data-dir={folder}", url]
    # Its socket wants a short path, and what it leaves there goes with the folder.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as short, _running(command, short):
        where = eventually("the browser to open the page", STARTED, lambda: _debugger(folder, url))
        socket = websocket.create_connection(where, timeout=STARTED.seconds, suppress_origin=True)
        try:
            page = Page(socket)
            eventually("the page to be drawn", STARTED, lambda: _drawn(page))
            yield page
        finally:
            socket.close()


@contextmanager
def _running(command: list[str], temporary: str) -> Iterator[None]:
    own = os.environ | dict.fromkeys(("TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), temporary)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=own)
    try:
        yield
    finally:
        process.terminate()
        process.wait(STARTED.seconds)


def _debugger(folder: Path, url: str) -> str:
    """The page's own debugging address, once the browser has opened it."""
    try:
        port = (folder / "DevToolsActivePort").read_text().splitlines()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            pages = json.load(answer)
    except (OSError, IndexError) as error:
        raise NotYet(str(error)) from None
    found = [each["webSocketDebuggerUrl"] for each in pages if each["url"] == url]
    if not found:
        raise NotYet("no such page")
    return str(found[0])


def _drawn(page: Page) -> None:
    if page.read("document.readyState") != "complete" or not page.read("document.body?.offsetHeight"):
        raise NotYet("still loading")
