"""The IMAP half: one folder of one mailbox as a source to be polled."""
