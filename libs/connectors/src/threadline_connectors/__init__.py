"""The connector SDK: inbound and sender contracts, registry, poller host, checkpoints."""
