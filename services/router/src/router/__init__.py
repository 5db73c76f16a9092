"""Intakes and outcomes, identity, conversations, timeline, REST API."""
