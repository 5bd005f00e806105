"""Streamed requests per CPU-second of this load generator beside its peers, on the same work in the same session.

    python -m scripts.measure_generator [--repeats 5] [--guidellm PATH]

Each asks the double of vLLM (so the model costs nothing) for streamed chat completions, 16 in flight. A generator's own
processor time is that of its process and all its children; start-up cancels, since each is run short and long and the
difference of both is what counts. Peers: Locust's HttpUser and FastHttpUser with their own `iter_lines`, `vllm bench
serve` from the vLLM image that the embedded cluster built, and GuideLLM if its program is named.
"""

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts import peers
from signoff import story
from signoff.core.errors import SignoffError
from signoff.core.paths import ROOT
from signoff.core.timeouts import SERVICE_ANSWERS
from signoff.core.waiting import NotYet, eventually
from signoff.traffic.client import NoAnswer, OpenAIClient
from signoff.traffic.endpoint import Endpoint

IN_FLIGHT = 16
SHORT, LONG = 4, 14
"""Seconds for those that run by time; `PER_SECOND` times as many requests for those that count them."""
PER_SECOND = 200
TOKENS = 16
PROMPT = "kab luf " * 12

_PEER = """
import json, time
from locust import {kind}, task

class Peer({kind}):
    @task
    def chat(self):
        body = {{"model": {model!r}, "messages": [{{"role": "user", "content": {prompt!r} + str(time.time())}}],
                "max_tokens": {tokens}, "temperature": 0, "stream": True, "stream_options": {{"include_usage": True}}}}
        started, first = time.perf_counter(), None
        for line in {lines}:
            line = line if isinstance(line, str) else line.decode()
            if line.startswith("data: ") and line != "data: [DONE]":
                choices = json.loads(line[6:])["choices"]
                if first is None and choices and choices[0]["delta"].get("content"):
                    first = time.perf_counter() - started
        if first is not None:
            self.environment.events.request.fire(request_type="TTFT", name="chat", response_time=first * 1000,
                                                 response_length=0, exception=None, context={{}})
"""
_LINES = {
    "FastHttpUser": 'self.client.iter_lines("/v1/chat/completions", method="POST", json=body)',
    "HttpUser": 'self.client.post("/v1/chat/completions", json=body, stream=True).iter_lines()',
}


@dataclass(frozen=True)
class Used:
    """What one run of a generator did."""

    requests: int
    cpu_seconds: float


def main() -> None:
    """Measure, alternating between the generators, and print a table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--guidellm", metavar="PATH", help="GuideLLM's program (0.8), of an environment of its own")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, _double() as url:
        generators = _generators(url, Path(name), options.guidellm)
        figures: dict[str, list[float]] = {each: [] for each in generators}
        for repeat in range(options.repeats):
            for each, run in generators.items():
                short, long = run(SHORT), run(LONG)
                figures[each].append((long.requests - short.requests) / (long.cpu_seconds - short.cpu_seconds))
                print(f"{repeat + 1}/{options.repeats} {each}: {figures[each][-1]:.0f}", file=sys.stderr)
    print(f"| streamed requests per CPU-second ({os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f}, "
          f"{IN_FLIGHT} in flight, median of {options.repeats}, lowest to highest) | |\n| --- | ---: |")  # fmt: skip
    for each, found in sorted(figures.items(), key=lambda item: -statistics.median(item[1])):
        print(f"| {each} | {statistics.median(found):.0f} ({min(found):.0f} to {max(found):.0f}) |")


def _generators(url: str, folder: Path, guidellm: str | None) -> dict[str, Callable[[int], Used]]:
    found: dict[str, Callable[[int], Used]] = {
        "signoff (bench/, records and samples included)": lambda s: _own(url, folder, s)
    }
    for kind, lines in _LINES.items():
        path = folder / f"{kind}.py"
        path.write_text(
            _PEER.format(kind=kind, lines=lines, model=story.MODEL, prompt=PROMPT, tokens=TOKENS), encoding="utf-8"
        )
        found[f"Locust {kind}, iter_lines"] = lambda s, path=path: _locust(url, path, s)  # type: ignore[misc]
    try:
        found["vllm bench serve"] = _vllm(url, folder)
    except SignoffError as error:
        print(f"without vllm bench serve: {error}", file=sys.stderr)
    if guidellm:
        found["GuideLLM"] = lambda s: _guidellm(url, guidellm, folder, s)
    return found


def _own(url: str, folder: Path, seconds: int) -> Used:
    lengths = folder / "lengths.csv"
    lengths.write_text(f"prompt_tokens,answer_tokens\n{len(PROMPT) * 2 // 3},{TOKENS}\n", encoding="utf-8")
    arguments = ["-f", str(ROOT / "bench"), "--proxied", url, "--think", "0", "--lengths", str(lengths)]
    arguments += ["--reports", str(folder / "reports"), "-u", str(IN_FLIGHT), "-r", "100", "Streamed"]
    return _timed([sys.executable, "-m", "locust", "--headless", "-t", f"{seconds}s", *arguments], r"(\d+) requests in")


def _locust(url: str, path: Path, seconds: int) -> Used:
    arguments = ["-f", str(path), "--host", url, "-u", str(IN_FLIGHT), "-r", "100", "-t", f"{seconds}s"]
    return _timed(
        [sys.executable, "-m", "locust", "--headless", *arguments], r"POST +/v1/chat/completions +(\d+) +\d+\("
    )


def _vllm(url: str, folder: Path) -> Callable[[int], Used]:
    programs, model = peers.vllm_programs(), folder / "tiny"
    peers.make_tiny_model(programs, model)

    def run(seconds: int) -> Used:
        command = [str(programs / "vllm"), "bench", "serve", "--backend", "openai-chat", "--base-url", url]
        command += ["--endpoint", "/v1/chat/completions", "--model", story.MODEL, "--tokenizer", str(model)]
        command += ["--dataset-name", "random", "--random-input-len", "48", "--random-output-len", str(TOKENS)]
        command += ["--num-prompts", str(seconds * PER_SECOND), "--max-concurrency", str(IN_FLIGHT), "--disable-tqdm"]
        return _timed(command, r"Successful requests: +(\d+)")

    return run


def _guidellm(url: str, program: str, folder: Path, seconds: int) -> Used:
    requests = seconds * PER_SECOND
    command = [program, "run", "--profile", f"kind=concurrent,streams={IN_FLIGHT}", "--disable-console"]
    command += ["--backend", f"kind=openai_http,target={url},model={story.MODEL}"]
    command += ["--tokenizer", f"kind=huggingface_auto,model={folder / 'tiny'}"]
    command += ["--data", f"kind=synthetic_text,prompt_tokens=48,output_tokens={TOKENS}"]
    command += ["--constraint", f"kind=max_requests,count={requests}"]
    command += ["--output", f"kind=json,path={folder / 'guidellm.json'}"]
    return Used(requests, _timed(command, "").cpu_seconds)


def _timed(command: list[str], counted: str) -> Used:
    """Run it; the number of requests is the last that its output tells."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, cwd=ROOT, env=peers.environment(), capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = done.stdout + done.stderr
    found = re.findall(counted, output) if counted else ["0"]
    failed = done.returncode if "locust" not in command else " failed: " in output
    if not found or failed:
        raise SignoffError(f"exit status {done.returncode}: {output[-2000:]}", where=" ".join(command[:4]))
    return Used(int(found[-1]), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


@contextmanager
def _double() -> Iterator[str]:
    """The double of vLLM as a process of its own, whose time is not counted until it has ended."""
    port = 18300
    double = subprocess.Popen(
        [sys.executable, "-m", "doubles.backend", "--host", "127.0.0.1", "--port", str(port)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,  # it tells of each client that leaves in the midst of a stream
    )
    try:
        with OpenAIClient(Endpoint(f"http://127.0.0.1:{port}")) as client:
            eventually("the double to answer", SERVICE_ANSWERS, lambda: _answered(client))
        yield f"http://127.0.0.1:{port}"
    finally:
        double.terminate()
        double.wait()


def _answered(client: OpenAIClient) -> None:
    try:
        client.models()
    except NoAnswer as error:
        raise NotYet(str(error)) from None


if __name__ == "__main__":
    main()
