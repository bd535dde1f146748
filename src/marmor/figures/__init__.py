"""Figures: pictures of pictures, plots, and the report of a run as one HTML page."""

from marmor.figures.cases import Case, cases
from marmor.figures.overlays import overlays
from marmor.figures.pictures import grid, pairs, save_png, side_by_side, stack, strip
from marmor.figures.plots import bars, confusion, curves, intervals
from marmor.figures.reliability import reliability
from marmor.figures.report import Picture, Report, Section, Table, Text, render, write
from marmor.figures.scatter import scatter
from marmor.figures.similarity import similarity

__all__ = [
    "Case",
    "Picture",
    "Report",
    "Section",
    "Table",
    "Text",
    "bars",
    "cases",
    "confusion",
    "curves",
    "grid",
    "intervals",
    "overlays",
    "pairs",
    "reliability",
    "render",
    "save_png",
    "scatter",
    "side_by_side",
    "similarity",
    "stack",
    "strip",
    "write",
]
