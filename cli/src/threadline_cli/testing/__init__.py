"""Runs the whole of Threadline as a process of its own, for end-to-end and fault tests."""
