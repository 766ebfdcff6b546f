"""What is my surplus worth? A job history replayed through the core, with the bound beside it."""
