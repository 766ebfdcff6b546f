"""The plots of a finance report, in the style of the study's."""
