"""Blocks: whole nodes from a start to an end, all or nothing, bought ahead at a price that stands.

`order` is what tenants place, `calendar` what may be sold in each delivery window, `auction` who gets it and at which price,
`contract` the lease that a won order becomes and its money, `delivery` how the round lets it start on its start.
"""
