"""The verbs of the command, one module each (or one for verbs that belong together)."""
