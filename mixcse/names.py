"""The names that options choose from, each in this one place, with nothing heavy to import."""

VARIANTS = ("released", "adaptive", "paper", "simcse")  # explained in mixcse/objective.py
MIXED_VIEWS = ("both", "first", "second")
POOLERS = ("cls", "cls_before_pooler", "avg", "avg_top2", "avg_first_last")  # explained in mixcse/pooling.py
PADDING = ("auto", "none", "chunks", "batch")  # of a training batch; explained in mixcse/training.py
DTYPES = ("float32", "float16", "bfloat16")  # of an encoder in use
HELD_OUT_LOSS = "held_out_loss"  # a metric that selects; lower is better
MODES = ("test", "fasttest", "dev")  # of evaluation; their protocols: mixcse/scores.py
STS_TASKS = ("STS12", "STS13", "STS14", "STS15", "STS16", "STSBenchmark", "SICKRelatedness")
TRANSFER_TASKS = ("MR", "CR", "SUBJ", "MPQA", "SST2", "TREC", "MRPC")
TASK_SETS = {"sts": STS_TASKS, "transfer": TRANSFER_TASKS, "full": STS_TASKS + TRANSFER_TASKS}
SHORTEST_INPUT = 3  # tokens: two special ones, and one of text
LEAST_TEMPERATURE = 1e-6  # logits are at most its inverse: float32 holds them and their gradients
