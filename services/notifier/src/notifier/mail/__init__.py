"""A reply as a mail: its bytes, and the SMTP connection that carries them. Not here: when to send and when to repeat."""
