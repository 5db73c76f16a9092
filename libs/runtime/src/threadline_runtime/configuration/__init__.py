"""The YAML file of brands, accounts and desks."""
