"""Figures: pictures of pictures, plots, and the report of a run as one HTML page."""

from marmor.figures.pictures import grid, pairs, save_png, side_by_side, stack, strip
from marmor.figures.plots import bars, confusion, curves, intervals
from marmor.figures.report import Picture, Report, Section, Table, Text, render, write
from marmor.figures.scatter import scatter

__all__ = [
    "Picture",
    "Report",
    "Section",
    "Table",
    "Text",
    "bars",
    "confusion",
    "curves",
    "grid",
    "intervals",
    "pairs",
    "render",
    "save_png",
    "scatter",
    "side_by_side",
    "stack",
    "strip",
    "write",
]
