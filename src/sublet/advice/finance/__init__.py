"""`sublet finance`: what leasing does to the owner's accounts. A scenario in, a report out."""
