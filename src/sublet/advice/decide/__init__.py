"""`sublet decide`: where a workload should run. A workload's file and a price catalogue in, a ranking and a report out."""
