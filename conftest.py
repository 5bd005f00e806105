"""Loads the steps and the plugin that collects `.feature` files; the steps' asserts are rewritten like a test's."""

pytest_plugins = [
    "signoff.pytest_plugin",
    "steps.cluster",
    "steps.placement",
    "steps.chat",
    "steps.completion",
    "steps.parity",
    "steps.gaming_mode",
    "steps.findings",
]
