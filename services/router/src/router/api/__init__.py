"""The REST API: what programs, the command line and the page read and ask for."""
