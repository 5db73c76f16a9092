"""The connectors of this service; each module that exports `CHANNEL` is found by itself."""
