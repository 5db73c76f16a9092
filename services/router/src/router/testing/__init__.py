"""What adapters of the router's stores must pass."""
