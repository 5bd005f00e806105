"""Verdicts: what each check says of the evidence, and what follows for the story.

`verdict` holds the words (values, codes, exit statuses), `registry` the judges by name, `judges` the rules themselves,
and `run` puts them together for a whole run.
"""

from signoff.verdicts.verdict import Code, ExitStatus, Value, Verdict

__all__ = ["Code", "ExitStatus", "Value", "Verdict"]
