"""Load on LiteLLM with a direct probe of vLLM beside it.

    locust -f bench/ --headless -t 30s --html reports/load.html

starts the story's deployment on an embedded cluster first. SIGNOFF_PROXIED (or --host) and SIGNOFF_DIRECT point it at
one that is there already. Each request shows under its arm; TTFT is the time to the first token of a stream.
"""

import json
import logging
import os
import random
import string
import subprocess
import sys
from typing import Any

from locust import User, between, constant_pacing, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from signoff.traffic.client import Answer, NoAnswer, OpenAIClient

TOKENS = 32
PROMPT_LETTERS = 120
PROBE_EVERY_SECONDS = 0.5
USERS = 4


class Deployment:
    """Where both arms are; a deployment that was started for the load ends with it."""

    def __init__(self) -> None:
        self.proxied = os.environ.get("SIGNOFF_PROXIED", "")
        self.direct = os.environ.get("SIGNOFF_DIRECT", "")
        self._serving: subprocess.Popen[str] | None = None

    def find_or_start(self, host: str | None) -> None:
        """Take what was named, else start the story's deployment and wait until both arms answer."""
        self.proxied = host or self.proxied
        if self.proxied:
            return
        self._serving = subprocess.Popen(
            [sys.executable, "-m", "signoff.cli", "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C is for Locust, which then ends this
        )
        assert self._serving.stdout is not None
        line = self._serving.stdout.readline()
        if not line:
            sys.exit("the deployment could not be started; the reason is above")
        urls = json.loads(line)
        self.proxied, self.direct = urls["proxied"], urls["direct"]

    def close(self) -> None:
        """End what was started."""
        if self._serving is not None and self._serving.stdin is not None:
            self._serving.stdin.close()
            self._serving.wait()
            self._serving = None


DEPLOYMENT = Deployment()
logging.getLogger("httpx").setLevel(logging.WARNING)  # else a line for each request


@events.init_command_line_parser.add_listener
def defaults(parser: LocustArgumentParser) -> None:
    """Enough users for load and probe; the probe is one of them."""
    parser.set_defaults(num_users=USERS, spawn_rate=USERS)


@events.init.add_listener
def begin(environment: Environment, **_: Any) -> None:
    """Have a deployment before the clock of --run-time starts."""
    DEPLOYMENT.find_or_start(environment.host)
    DirectProbe.fixed_count = 1 if DEPLOYMENT.direct else 0
    if not DEPLOYMENT.direct:
        environment.user_classes = [ChatUser]
        print("no direct arm: SIGNOFF_DIRECT names vLLM's own URL", file=sys.stderr)


@events.quitting.add_listener
def end(**_: Any) -> None:
    """End the deployment that was started for this load."""
    DEPLOYMENT.close()


class Asking(User):
    """Sends chat completions to one arm and reports them under its name."""

    abstract = True
    arm = ""

    def on_start(self) -> None:
        """Connect."""
        self.client = OpenAIClient(getattr(DEPLOYMENT, self.arm))

    def on_stop(self) -> None:
        """Disconnect."""
        self.client.close()

    def chat(self, *, stream: bool) -> None:
        """Ask for a completion of a prompt that nobody has sent before."""
        name = "chat streamed" if stream else "chat"
        prompt = "".join(random.choices(string.ascii_lowercase + " ", k=PROMPT_LETTERS))
        options: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream else {}
        try:
            answer = self.client.chat(prompt, stream=stream, max_tokens=TOKENS, temperature=0, **options)
        except NoAnswer as error:
            self._report(name, 0.0, 0, error)
            return
        self._report(name, answer.e2e_ms, len(answer.body), _fault(answer, stream=stream))
        if answer.ttft_ms is not None:
            self._report("TTFT", answer.ttft_ms, 0, None)

    def _report(self, name: str, milliseconds: float, length: int, fault: Exception | None) -> None:
        self.environment.events.request.fire(
            request_type=self.arm,
            name=name,
            response_time=milliseconds,
            response_length=length,
            exception=fault,
            context={},
        )


def _fault(answer: Answer, *, stream: bool) -> Exception | None:
    if answer.status != 200:
        return RuntimeError(f"status {answer.status}")
    if answer.broken:
        return RuntimeError(f"the answer broke off: {answer.broken}")
    if answer.streamed != stream or not answer.text:
        return RuntimeError("no text came")
    return None


class ChatUser(Asking):
    """Loads LiteLLM with chat completions, streamed and not."""

    arm = "proxied"
    wait_time = between(0.05, 0.15)

    @task
    def plain(self) -> None:
        """One completion."""
        self.chat(stream=False)

    @task
    def streamed(self) -> None:
        """One streamed completion."""
        self.chat(stream=True)


class DirectProbe(Asking):
    """Asks vLLM itself now and then, so that the report shows what the backend had to offer meanwhile."""

    arm = "direct"
    wait_time = constant_pacing(PROBE_EVERY_SECONDS)

    @task
    def both(self) -> None:
        """One completion of each kind."""
        self.chat(stream=False)
        self.chat(stream=True)
