"""What leasing does to the owner's accounts: values in, accounts out. Money in whole micro-units, shares in millionths."""
