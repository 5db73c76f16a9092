"""One module a channel, found by a scan of this package."""
