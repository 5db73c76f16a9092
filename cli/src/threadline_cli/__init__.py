"""The threadline command."""
