"""Forecasts of the owner's demand, one method a file; a new one is a file, a row here and a page in the docs."""

from collections.abc import Mapping

from sublet.core.forecast.last_week_peak import last_week_peak
from sublet.core.forecast.window import Forecast, History, WindowMax
from sublet.core.forecast.window_max_quantile import window_max_quantile

FORECASTS: Mapping[str, Forecast] = {
    "last_week_peak": last_week_peak,
    "window_max_quantile": window_max_quantile,
}

__all__ = ["FORECASTS", "Forecast", "History", "WindowMax"]
