"""Training: options and a file of sentences go in, a folder with a trained encoder comes out.

Start at `run.py`, whose `train` is the list of steps; `command.py` is the program.  `arguments`, `parsing` and
`help` read the options; `prepare` makes model, data and `trainer` of them; `callbacks`, `measure`, `signals` and
`divergence` look on while it trains; `folder` and `checkpoints` keep what is written safe; `ending`, `announce`,
`model_card` and `hub` say what came of it.
"""
