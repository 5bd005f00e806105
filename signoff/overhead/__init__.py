"""What LiteLLM adds to a request: paired timings, their estimate, where the time goes, the clock's calibration."""
