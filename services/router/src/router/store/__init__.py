"""Where the timeline is kept: one port, adapters held to one behaviour suite."""
