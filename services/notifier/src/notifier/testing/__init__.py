"""Behaviour suites that every adapter of the notifier's ports has to pass."""
