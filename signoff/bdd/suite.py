"""The suite as one pytest plugin: what collects and judges features, and all steps."""

from signoff.bdd.steps import step_modules

pytest_plugins = ["signoff.bdd.plugin", *step_modules()]
