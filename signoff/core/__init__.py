"""What everything else stands on: errors, timeouts, waiting, the console, paths."""
