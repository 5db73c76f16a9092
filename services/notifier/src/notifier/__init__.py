"""Senders and desks."""
