"""The bus: one port, adapters held to one behaviour suite."""
