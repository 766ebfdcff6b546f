"""Which pool a job or a node is in."""

import polars as pl

from sublet.traces.options import Options

EVERYTHING = "all"
"""The only pool of a trace that has none."""


def pool_of(options: Options) -> pl.Expr:
    """The column `pool` as the options want it, from what the format calls a pool and from `gpu_model`."""
    if options.pool == "all":
        return pl.lit(EVERYTHING).alias("pool")
    if options.pool == "gpu_model":
        return pl.col("gpu_model").fill_null("unknown").alias("pool")
    return pl.col("pool").fill_null(EVERYTHING)
