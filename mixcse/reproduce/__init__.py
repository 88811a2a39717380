"""Reproducing the tables: `python -m mixcse.reproduce list | run | report`.

In: the experiments, a TOML file each.  Out: a JSON record for each run, and the report made of them.
Start with `experiment`, then `plan` (which runs they need), `runner`, `record`, `parts` (tables) and `report`.
"""
