"""Loads the steps and the plugin that collects `.feature` files."""

pytest_plugins = [
    "signoff.bdd.plugin",
    "steps.chat",
    "steps.cluster",
    "steps.placement",
    "steps.completion",
    "steps.parity",
    "steps.gaming_mode",
    "steps.findings",
]
