"""The plots of a report, as plotly takes them: plain values, made from the report alone."""
