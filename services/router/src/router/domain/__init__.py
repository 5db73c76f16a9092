"""Pure rules of the timeline: no I/O, no clock, no environment."""
