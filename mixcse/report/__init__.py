"""Figures of logged values, and the templates of Markdown pages.

In: `Trace`s of logged numbers.  Out: matplotlib figures, SVG, PNG.  Start with `figures`.
"""
