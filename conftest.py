"""Loads the steps and the plugin that collects `.feature` files."""

pytest_plugins = ["signoff.bdd.suite"]
