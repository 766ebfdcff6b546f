"""Where a workload should run: what finishing it costs at each offer, who may have it, what would change the order."""
