"""Judges: pure functions from evidence to verdicts, one for each kind of check, and what follows for a whole run."""

from signoff.judges import acceptance, answers, certificate, deployment, facts, overhead, parity, placement, way_in

__all__ = ["acceptance", "answers", "certificate", "deployment", "facts", "overhead", "parity", "placement", "way_in"]
