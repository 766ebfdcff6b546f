"""Questions that are answered from files, before anything is installed: files in, a report out."""
