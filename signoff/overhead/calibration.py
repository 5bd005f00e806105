"""`signoff calibrate`: known delays are put in and have to be found again, by the code that judges LiteLLM.

Both arms ask the same server through a relay on loopback; that of the proxied arm waits before each request. So the
true difference is the delay itself, and what is found beyond it is the bias of the measurement. A server that has
been idle for longer is slower, by almost a millisecond where 40 are put in: so the others' requests come later by the
delay, and all arms find it after the same rest.
"""

import math
from dataclasses import dataclass, replace

from signoff.core.console import progress
from signoff.core.errors import SignoffError
from signoff.evidence import Evidence, side_file
from signoff.evidence.models import DelayFound, DelayTimed
from signoff.overhead.estimate import Overhead, Samples, judge
from signoff.stats.estimate import Estimate
from signoff.traffic import delay_proxy, timings_csv
from signoff.traffic.endpoint import Endpoint
from signoff.traffic.pairs import Arm, Manner, failed, measure
from signoff.verdicts.verdict import Value


@dataclass(frozen=True)
class Injection:
    """A delay to put in: `ms`, or evenly between `ms` minus and plus `jitter_ms`."""

    ms: float
    jitter_ms: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Injection":
        """Read "18" or "40+-10".

        Raises:
            ValueError: it is neither, or below nothing.
        """
        ms, _, jitter = text.partition("+-")
        try:
            made = cls(float(ms), float(jitter or 0))
        except ValueError:
            raise ValueError(text) from None
        if not 0 <= made.jitter_ms <= made.ms < math.inf:
            raise ValueError(text)
        return made

    def __str__(self) -> str:
        return f"{self.ms:g}+-{self.jitter_ms:g}" if self.jitter_ms else f"{self.ms:g}"


PAIRS = 200


def injections(limit_ms: float) -> tuple[Injection, ...]:
    """Delays of all sizes, two of them a twentieth below and above the limit."""
    near = (Injection(0.95 * limit_ms), Injection(1.05 * limit_ms))
    return (Injection(0), Injection(5), Injection(18), *near, Injection(40, jitter_ms=10))


@dataclass(frozen=True)
class Recovery:
    """What the measurement made of a delay that was put in."""

    injection: Injection
    result: Overhead

    @property
    def tolerance_ms(self) -> float:
        """How far off it may be."""
        return 0.3 + 0.01 * self.injection.ms

    @property
    def bias_ms(self) -> float | None:
        """Found minus put in."""
        found = self.result.figures.get("median")
        return None if found is None else found.value - self.injection.ms

    @property
    def is_untold(self) -> bool:
        """Whether too few pairs or too busy a machine say nothing: an invalid run, or a bias that may be noise.

        A wrong verdict is told all the same.
        """
        if self.bias_ms is None or self.result.is_invalid:
            return True
        if self.is_wrongly_judged:
            return False
        put_in = self.injection.ms
        allowed = Estimate(put_in, put_in - self.tolerance_ms, put_in + self.tolerance_ms)
        return abs(self.bias_ms) > self.tolerance_ms and self.result.figures["median"].meets(allowed)

    @property
    def is_wrongly_judged(self) -> bool:
        """Whether the verdict is the opposite of what was put in."""
        below = self.injection.ms < self.result.limit_ms
        return self.result.verdict.value is (Value.FAILED if below else Value.PASSED)

    @property
    def fault(self) -> str:
        """What is wrong with it; empty if nothing is."""
        if self.bias_ms is None or self.result.is_invalid:
            return self.result.verdict.reason
        if self.is_wrongly_judged:
            return f"wrongly {self.result.verdict.value}"
        if self.is_untold:
            return "too restless to say: the interval holds what is allowed and what is not"
        if abs(self.bias_ms) > self.tolerance_ms:
            return f"off by more than {self.tolerance_ms:.2f} ms"
        return ""


def recover(
    server: Endpoint, injection: Injection, *, limit_ms: float, pairs: int, seed: int, evidence: Evidence, file: str
) -> Recovery:
    """Put one delay in, and judge what is timed by this limit; each request is a line of `file`, beside the evidence.

    Raises:
        SignoffError: a request failed.
    """
    progress("calibrate", f"{injection} ms, {pairs} pairs")
    path, timings = evidence.dir / file, []
    with (
        delay_proxy.running(server.url) as direct,
        delay_proxy.running(server.url, injection.ms, injection.jitter_ms) as delayed,
        timings_csv.writing(path) as write,
    ):
        longer_rests: dict[Arm, float] = dict.fromkeys(("direct", "control"), injection.ms / 1000)
        for timing in measure(
            replace(server, url=direct),
            replace(server, url=delayed),
            pairs=pairs,
            seed=seed,
            manner=Manner(longer_rests=longer_rests),
            progress=lambda text: progress("calibrate", text),
        ):
            write(timing)
            timings.append(timing)
    timed = DelayTimed(
        delay_ms=injection.ms,
        jitter_ms=injection.jitter_ms,
        url=server.url,
        pairs_asked=pairs,
        seed=seed,
        requests=side_file(path),
    )
    number = evidence.add(timed)
    if failed(timings):
        raise SignoffError(
            f"a request failed: {next(each.error for each in timings if each.error)}",
            where=server.url,
            hint=f"does it serve {server.model} in OpenAI's format?",
        )
    found = Recovery(injection, judge(Samples(tuple(timings)), limit_ms=limit_ms, seed=seed))
    evidence.add(
        DelayFound(
            timed=number,
            bias_ms=found.bias_ms,
            figures=dict(found.result.figures),
            verdict=found.result.verdict.value,
            code=found.result.verdict.code,
            reason=found.result.verdict.reason,
            fault=found.fault,
        )
    )
    return found
