"""Where deliveries and lanes are kept: a port and its adapters."""
