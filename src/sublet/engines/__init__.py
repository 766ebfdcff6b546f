"""Where leases run. Engines obey."""
