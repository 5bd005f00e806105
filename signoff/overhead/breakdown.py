"""Where a request's time goes: what the client sees, split by what LiteLLM and vLLM say of themselves.

Means, since only they add up: of a proxied request = vLLM's own time + the rest of the direct way + the difference that
LiteLLM makes; and that difference = LiteLLM's header + hop + what nobody explains.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from signoff.traffic.blocks import Block, BlockArm


@dataclass(frozen=True)
class Attribution:
    """Mean milliseconds of requests that were not streamed; None where nobody told.

    `hop_ms` is the way to LiteLLM and back: a request that it answers by itself. `unexplained_ms` is what is left of
    `difference_ms` beyond the header and the hop: queueing, authentication and serialisation that LiteLLM's header
    leaves out, and `backend_difference_ms`, by which vLLM itself took longer for LiteLLM.
    """

    direct_ms: float
    proxied_ms: float
    difference_ms: float
    backend_ms: float | None
    backend_difference_ms: float | None
    header_ms: float | None
    hop_ms: float | None
    unexplained_ms: float
    requests: int
    note: str

    def parts(self) -> list[tuple[str, float]]:
        """The bar from left to right; its lengths add up to a proxied request."""
        backend = self.backend_ms or 0.0
        all_parts = [
            ("vLLM's own time", self.backend_ms),
            ("the rest of the direct way" if self.backend_ms is not None else "direct", self.direct_ms - backend),
            ("LiteLLM's header", self.header_ms),
            ("hop", self.hop_ms),
            ("unexplained", self.unexplained_ms),
        ]
        return [(name, ms) for name, ms in all_parts if ms is not None]


def attribute(blocks: Sequence[Block]) -> Attribution | None:
    """Split the difference between the arms; None without whole blocks of both."""
    direct, proxied = _told(blocks, "direct", "client_ms"), _told(blocks, "proxied", "client_ms")
    if direct is None or proxied is None:
        return None
    backend, backend_proxied = _told(blocks, "direct", "backend_ms"), _told(blocks, "proxied", "backend_ms")
    backend_difference = None if backend is None or backend_proxied is None else backend_proxied - backend
    header, hop = _told(blocks, "proxied", "header_ms"), _told(blocks, "hop", "client_ms")
    notes = [block.note for block in blocks if block.note]
    if header is None:
        notes.append("LiteLLM's header is missing")
    if hop is None:
        notes.append("the hop was not measured")
    return Attribution(
        direct_ms=direct,
        proxied_ms=proxied,
        difference_ms=proxied - direct,
        backend_ms=None if backend_difference is None else backend,
        backend_difference_ms=backend_difference,
        header_ms=header,
        hop_ms=hop,
        unexplained_ms=proxied - direct - (header or 0.0) - (hop or 0.0),
        requests=sum(block.requests for block in blocks if block.arm == "proxied"),
        note="; ".join(dict.fromkeys(notes)),
    )


def _told(blocks: Sequence[Block], arm: BlockArm, figure: str) -> float | None:
    """The mean over the blocks of an arm, which are of one size; None if one of them lacks it."""
    values = [getattr(block, figure) for block in blocks if block.arm == arm]
    return float(np.mean(values)) if values and None not in values else None
