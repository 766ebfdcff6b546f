"""`sublet audit`: from a job history to what each group of like jobs should do: files in, report and task files out."""
