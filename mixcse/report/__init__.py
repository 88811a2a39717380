"""What was logged, as figures and pages; nothing of a model or a run is known here.

In: `Trace`s of logged numbers, values for the templates.  Out: matplotlib figures, SVG, HTML.  Start with `figures`.
"""
