"""What a channel's tests build on: suites that every connector, sender and store must pass, and a rig for pollers."""
