"""Reproducing the tables: `python -m mixcse.reproduce list | run | report`."""
