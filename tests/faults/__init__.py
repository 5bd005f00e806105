"""What goes wrong around the suite, each case with its exit status, the sentence that is said and what is left behind.

Elsewhere, beside what they are about:

- parts of the cluster killed in mid-run: `tests/cluster/embedded/test_whose_fault.py`; a killed supervisor:
  `tests/cluster/embedded/test_kept.py`; what a sweep does: `tests/cluster/embedded/test_sweep.py`
- feature files that are missing, empty or wrong: `tests/bdd/test_features.py`, `tests/bdd/test_collection.py`
- evidence that was changed or cut off: `tests/evidence`, `tests/commands/test_verify.py`
- options that are wrong by themselves: `tests/test_options.py`, `tests/commands/test_refusals.py`
- a reader that has gone, a caller that waits: `tests/test_cli.py`
- a full disk under Locust: `tests/load/test_distributed.py`
"""
