"""One owner a mailbox or lane, without trusting any wall clock."""
