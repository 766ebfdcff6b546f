"""SQL. Rows become core values at once; nothing outside this package knows a table."""
