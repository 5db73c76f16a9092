"""Slack and web chat in (channels follow)."""
