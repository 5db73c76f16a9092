"""Loads the fixtures that every member's tests may ask for."""

pytest_plugins = ["threadline_runtime.testing.fixtures"]
