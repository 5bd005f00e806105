"""The judge of each kind of check: pure functions from evidence to verdicts."""

from signoff.verdicts.judges import answers, deployment, facts, overhead, parity, placement

__all__ = ["answers", "deployment", "facts", "overhead", "parity", "placement"]
