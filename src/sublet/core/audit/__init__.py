"""Which jobs of a history could run on surplus: groups of like jobs, what each is, and what would be best for it."""
