"""Judges: pure functions from evidence to verdicts, one for each kind of check, and what follows for a whole run."""

from signoff.judges import acceptance, answers, deployment, facts, overhead, parity, placement

__all__ = ["acceptance", "answers", "deployment", "facts", "overhead", "parity", "placement"]
