"""Forecasts of the owner's demand, one method a file; a new one is a file, a row here and a page in the docs."""

from collections.abc import Mapping

from sublet.core.forecast.boosted import Boosted
from sublet.core.forecast.hourly_marginals import HourlyMarginals
from sublet.core.forecast.last_week_peak import LastWeekPeak
from sublet.core.forecast.method import WEEK_US, Method, Model
from sublet.core.forecast.seasonal_naive import SeasonalNaive
from sublet.core.forecast.series import Series
from sublet.core.forecast.statistical import Statistical
from sublet.core.forecast.window import SAMPLES, Ahead, History, WindowMax
from sublet.core.forecast.window_max_quantile import WindowMaxQuantile

FORECASTS: Mapping[str, Method] = {
    "last_week_peak": LastWeekPeak(),
    "seasonal_naive": SeasonalNaive(WEEK_US),
    "window_max_quantile": WindowMaxQuantile(),
    "hourly_marginals": HourlyMarginals(),
    "boosted": Boosted(),
    "statistical": Statistical(),
}

__all__ = ["FORECASTS", "SAMPLES", "Ahead", "History", "Method", "Model", "Series", "WindowMax"]
