"""What every Threadline process needs: bus, database, blobs, leases, settings, logs, metrics, lifecycle."""
