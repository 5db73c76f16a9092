"""Large payloads, long texts and attachments beside the database: one port, durable files now, S3 later."""
