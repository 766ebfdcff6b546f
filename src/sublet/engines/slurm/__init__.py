"""The engine that runs leases as jobs of a Slurm cluster, beside the jobs of its owner."""
