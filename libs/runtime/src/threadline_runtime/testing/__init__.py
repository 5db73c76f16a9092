"""Real and scripted servers for tests; the product itself imports nothing from here."""
