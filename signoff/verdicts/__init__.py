"""Verdicts: their values, codes and exit statuses, and the one rule by which a figure lies below a limit."""

from signoff.verdicts.verdict import Code, ExitStatus, Value, Verdict

__all__ = ["Code", "ExitStatus", "Value", "Verdict"]
