"""Where a workload should run: what finishing it costs at each offer, which offers may have it, and what would change the order."""
