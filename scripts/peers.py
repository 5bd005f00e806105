"""The load generators of others, as their users run them: where they come from, what is asked of them, what they tell.

vLLM's comes with the vLLM image that the embedded cluster builds; the others are installed from the package index,
each into an environment of its own in the cache.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from signoff import story
from signoff.cluster.embedded.images import Images
from signoff.cluster.embedded.images.versions import run_uv
from signoff.core.console import progress
from signoff.core.errors import SignoffError
from signoff.core.paths import MANIFESTS, cache_dir
from signoff.core.processes import dying_with

GUIDELLM = "guidellm==0.8.1"
AIPERF = "aiperf==0.13.0"

TOKENIZER = "signoff/tiny"
"""The name under which the peers find the tiny model's tokenizer, which is in no hub."""
PROMPTS = "prompts.jsonl"


@dataclass(frozen=True)
class Work:
    """What one run of a peer has to do: ask `url` for streams, one after the other, of so many tokens each.

    There is a prompt for each request, the first `warm_up` of which are not timed; `prompt_tokens` is the length of
    each. `hub` is the folder with the tokenizer, `folder` an empty one for what the peer writes.
    """

    url: str
    prompts: Sequence[str]
    prompt_tokens: int
    answer_tokens: int
    warm_up: int
    seed: int
    hub: Path
    folder: Path

    @property
    def timed(self) -> int:
        """How many requests are timed."""
        return len(self.prompts) - self.warm_up


@dataclass(frozen=True)
class Peer:
    """A load generator: its command for some work, and what it then tells in the folder.

    `latencies` reads the end-to-end latency of each request that succeeded, in milliseconds and in the order of
    sending; without those of the warm-up where it `tells_warm_up` apart.
    """

    name: str
    command: Callable[[Work], list[str]]
    latencies: Callable[[Path], list[float]]
    tells_warm_up: bool = True

    def run(self, work: Work, *, seconds: float) -> list[float]:
        """Run it, and give the latencies of its timed requests, in milliseconds.

        Raises:
            SignoffError: it failed, took longer than so many seconds, or did not answer for each request.
        """
        where = f"{self.name} against {work.url}"
        (work.folder / PROMPTS).write_text(
            "".join(json.dumps({"text": each}) + "\n" for each in work.prompts), encoding="utf-8"
        )
        log = work.folder / "output.log"
        status = _run(self.command(work), work.hub, log, seconds)
        if status != 0:
            said = "\n".join(log.read_text(errors="replace", encoding="utf-8").strip().splitlines()[-12:])
            what = f"it took more than {seconds:g} s" if status is None else f"exit status {status}"
            raise SignoffError(f"{what}: {said}", where=where)
        try:
            found = self.latencies(work.folder)
        except (OSError, LookupError, TypeError, ValueError) as error:
            raise SignoffError(f"what it wrote is not what is expected: {error!r}", where=where) from error
        wanted = work.timed if self.tells_warm_up else len(work.prompts)
        if len(found) != wanted:
            raise SignoffError(f"{len(found)} of {wanted} requests succeeded", where=where)
        return found[-work.timed :]


def _run(command: Sequence[str], hub: Path, log: Path, seconds: float) -> int | None:
    """The exit status, or None when the time was over; whatever it started has then ended as well."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            env={**environment(), "HF_HOME": str(hub)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=dying_with(os.getpid()),
        )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def environment() -> dict[str, str]:
    """This process's, without proxies, and with nothing fetched or told."""
    inherited = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    return {**inherited, **quiet, "OPENAI_API_KEY": "sk-none"}


# Where they are had from


def vllm_programs() -> Path:
    """The folder with the programs of the vLLM image; it is built if it has to be."""
    deployed = yaml.safe_load_all((MANIFESTS / "vllm" / "deployment.yaml").read_text(encoding="utf-8"))
    image = next(deployed)["spec"]["template"]["spec"]["containers"][0]["image"]
    return Images(cache_dir()).prepare(image).env_dir / "bin"


def make_tiny_model(programs: Path, folder: Path) -> None:
    """Make the story's tiny model, tokenizer and all, as its pod does."""
    config = yaml.safe_load((MANIFESTS / "vllm" / "tiny-model.yaml").read_text(encoding="utf-8"))
    command = [programs / "python", "-c", config["data"]["tiny_model.py"], folder]
    done = subprocess.run(
        command,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        preexec_fn=dying_with(os.getpid()),
    )
    if done.returncode:
        raise SignoffError(f"the tiny model cannot be made: {done.stderr.strip()[-1500:]}", where=str(programs))


def make_hub(programs: Path, hub: Path) -> None:
    """Put the tiny model where Hugging Face's programs look for what they have fetched before.

    AIPerf takes no folder as a tokenizer while it is offline. The layout is that of
    https://huggingface.co/docs/huggingface_hub/guides/manage-cache
    """
    kept = hub / "hub" / f"models--{TOKENIZER.replace('/', '--')}"
    make_tiny_model(programs, kept / "snapshots" / "1")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("1", encoding="utf-8")


def installed(requirement: str) -> Path:
    """The folder with the programs of a package, in an environment of its own that the cache keeps.

    Raises:
        SignoffError: it cannot be installed, with what uv said.
    """
    root = cache_dir() / "peers"
    kept = root / requirement.replace("==", "-")
    if kept.is_dir():
        return kept / "bin"
    progress("peers", f"installing {requirement}")
    root.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{kept.name}.tmp", dir=root))
    try:
        for arguments in (
            ("venv", "--relocatable", "--python", sys.executable, building / "env"),
            ("pip", "install", "--python", building / "env", requirement),
        ):
            done = run_uv(*arguments)
            if done.returncode:
                raise SignoffError(f"{requirement} cannot be installed: {done.stderr.strip()[-1500:]}")
        (building / "env").rename(kept)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return kept / "bin"


# What is asked of them, and what they tell


def vllm_bench(programs: Path) -> Peer:
    """`vllm bench serve`; its clock ends at the last chunk with a choice, before the usage and [DONE].

    It makes its own prompts, of the length that is asked for: reading ours needs packages that the image lacks. The
    warm-up repeats the first of them.
    """

    def command(work: Work) -> list[str]:
        return [
            *(str(programs / "vllm"), "bench", "serve", "--backend", "openai-chat", "--temperature", "0"),
            *("--base-url", work.url, "--endpoint", "/v1/chat/completions"),
            *("--model", story.MODEL, "--tokenizer", TOKENIZER),
            *("--dataset-name", "random", "--random-input-len", str(work.prompt_tokens)),
            *("--random-output-len", str(work.answer_tokens), "--seed", str(work.seed)),
            *("--num-prompts", str(work.timed), "--num-warmups", str(work.warm_up), "--max-concurrency", "1"),
            *("--disable-tqdm", "--save-result", "--save-detailed"),
            *("--result-dir", str(work.folder), "--result-filename", "vllm.json"),
        ]

    return Peer("vllm bench serve", command, vllm_latencies)


def vllm_latencies(folder: Path) -> list[float]:
    """From its detailed result: seconds, also of requests that failed, which have an error."""
    told: dict[str, Any] = json.loads((folder / "vllm.json").read_text(encoding="utf-8"))
    rows = zip(told["latencies"], told["errors"], strict=True)
    return [seconds * 1000 for seconds, error in rows if not error]


def guidellm(programs: Path) -> Peer:
    """GuideLLM with its synchronous profile. What it keeps of each request has the warm-up's in it."""

    def command(work: Work) -> list[str]:
        asked = {"temperature": 0, "ignore_eos": True}
        backend = {"kind": "openai_http", "target": work.url, "model": story.MODEL, "max_tokens": work.answer_tokens}
        return [
            *(str(programs / "guidellm"), "run", "--profile", "kind=synchronous", "--disable-console"),
            *("--backend", json.dumps({**backend, "extras": {"body": asked}})),
            *("--tokenizer", json.dumps({"kind": "huggingface_auto", "model": TOKENIZER})),
            *("--data", f"kind=json_file,path={work.folder / PROMPTS}"),
            *("--constraint", f"kind=max_requests,count={len(work.prompts)}"),
            *("--output", f"kind=json,path={work.folder / 'guidellm.json'}"),
        ]

    return Peer("GuideLLM", command, guidellm_latencies, tells_warm_up=False)


def guidellm_latencies(folder: Path) -> list[float]:
    """From its JSON: seconds from sending the request to the end of its answer."""
    told: dict[str, Any] = json.loads((folder / "guidellm.json").read_text(encoding="utf-8"))
    answered = told["benchmarks"][0]["requests"]["successful"]
    return [each["request_latency"] * 1000 for each in sorted(answered, key=lambda each: each["request_start_time"])]


def aiperf(programs: Path) -> Peer:
    """AIPerf with one request in flight; its clock ends at the last chunk with content."""

    def command(work: Work) -> list[str]:
        return [
            *(str(programs / "aiperf"), "profile", "--model", story.MODEL, "--url", work.url),
            *("--endpoint-type", "chat", "--streaming", "--concurrency", "1", "--max-workers", "1"),
            *("--input-file", str(work.folder / PROMPTS), "--custom-dataset-type", "single_turn"),
            *("--tokenizer", TOKENIZER, "--use-server-token-count", "--osl", str(work.answer_tokens)),
            *("--extra-inputs", "ignore_eos:true", "--extra-inputs", "temperature:0"),
            *("--request-count", str(work.timed), "--warmup-request-count", str(work.warm_up)),
            *("--no-gpu-telemetry", "--no-server-metrics", "--ui", "none", "--artifact-dir", str(work.folder)),
        ]

    return Peer("AIPerf", command, aiperf_latencies)


def aiperf_latencies(folder: Path) -> list[float]:
    """From its record of each request: milliseconds, the warm-up told apart by its phase."""
    lines = (folder / "profile_export.jsonl").read_text(encoding="utf-8").splitlines()
    records: list[dict[str, Any]] = [json.loads(line) for line in lines]
    timed = [each for each in records if each["metadata"]["benchmark_phase"] == "profiling" and not each.get("error")]
    timed.sort(key=lambda each: int(each["metadata"]["request_start_ns"]))
    return [float(each["metrics"]["request_latency"]["value"]) for each in timed]
