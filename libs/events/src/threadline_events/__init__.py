"""The contract: events, commands, topics, keys, ids."""
