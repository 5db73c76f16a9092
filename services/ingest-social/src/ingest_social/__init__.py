"""Social and messaging networks in (channels follow)."""
