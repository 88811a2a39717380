"""Scores of a model: SentEval's tasks, dev sets of a training run, alignment and uniformity, the papers' tables.

In: a function from sentences to embeddings, and where the data lies.  Out: a `Report`, or numbers by name.
Start with `scores`; `command` is evaluation.py, `dev` is what training is selected by.
"""
