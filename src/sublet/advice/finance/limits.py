"""What accounts of this kind cannot tell."""

LIMITS = (
    (
        "Demand is taken as given: whatever share is said to be leased finds somebody at the list price. A fleet so large "
        "that it moves the market would lower the price itself; turn the price down with the share."
    ),
    "The owner's own revenue, costs and use of the fleet stay as they are: no growth, no lost sales while a tenant has a GPU.",
    "No tax, interest, inflation or discounting: amounts of different years are added as they are.",
    (
        "Depreciation, idle energy, upkeep and staff run either way. The incremental view leaves them out, the full view "
        "takes the leased hours' part: neither is the other's mistake, they answer different questions."
    ),
    (
        "Refunds and credits are averages of a class, and half of a lease's time is taken as refunded. What a single event "
        "owes is in the paths as a spike."
    ),
    (
        "Price paths know what they are told: noise, jumps, regimes, dated steps, recorded changes. A recorded price is one "
        "seller's list price, and what comes next may be like nothing that was recorded."
    ),
    "A month has 730 hours, so that the months of a year are alike.",
)
"""Sentences for the end of the report."""
