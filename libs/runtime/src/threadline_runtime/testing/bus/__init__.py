"""The parts of the bus's behaviour suite."""
