"""The names that options choose from, each in this one place, with nothing heavy to import."""

VARIANTS = ("released", "adaptive", "paper", "simcse")  # explained in mixcse/objective.py
MIXING = ("released", "adaptive", "paper")  # those of them with mixed negatives
MIXED_VIEWS = ("both", "first", "second")
MIX_WITH = ("next", "hardest")
POOLERS = {
    "cls": "the last layer's first token, through the MLP head of training (dense layer and tanh)",
    "cls_before_pooler": "the last layer's first token",
    "avg": "the mean of the last layer's tokens",
    "avg_top2": "the mean of the last two layers, over the tokens",
    "avg_first_last": "the mean of the first and the last layer, over the tokens",
    "max": "the largest value of each component over the last layer's tokens",
    "last": "the last layer's last token",
}
PADDING = ("auto", "none", "chunks", "batch")  # of a training batch; explained in mixcse/train/run.py
DTYPES = ("float32", "float16", "bfloat16")  # of an encoder in use
HELD_OUT_LOSS = "held_out_loss"  # a metric that selects; lower is better
MODES = ("test", "fasttest", "dev")  # of evaluation; their protocols: mixcse/evaluate/scores.py
STS_TASKS = ("STS12", "STS13", "STS14", "STS15", "STS16", "STSBenchmark", "SICKRelatedness")
TRANSFER_TASKS = ("MR", "CR", "SUBJ", "MPQA", "SST2", "TREC", "MRPC")
TASK_LABELS = {"STSBenchmark": "STS-B", "SICKRelatedness": "SICK-R"}  # in tables, where the name is another
DEV_SETS = {"dev_spearman": "own pairs", "stsb_spearman": "STS-B", "sickr_spearman": "SICK-R"}  # metric: data
TASK_SETS = {"sts": STS_TASKS, "transfer": TRANSFER_TASKS, "full": STS_TASKS + TRANSFER_TASKS}
SHORTEST_INPUT = 3  # tokens: two special ones, and one of text
LEAST_TEMPERATURE = 1e-6  # logits are at most its inverse: float32 holds them and their gradients
CITATION = """\
@inproceedings{zhang-etal-2022-mixcse,
    title = {Unsupervised Sentence Representation via Contrastive Learning with Mixing Negatives},
    author = {Zhang, Yanzhao and Zhang, Richong and Mensah, Samuel and Liu, Xudong and Mao, Yongyi},
    booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
    volume = {36},
    pages = {11730--11738},
    year = {2022},
    doi = {10.1609/aaai.v36i10.21428},
}
"""


def check_names(**chosen: str) -> None:
    """Raises ValueError for a name that is none of its option's, which is one of the objective's."""
    known = {"variant": VARIANTS, "mixed_views": MIXED_VIEWS, "mix_with": MIX_WITH}
    for option, name in chosen.items():
        if name not in known[option]:
            raise ValueError(f"{option} must be one of {', '.join(known[option])}, not {name!r}")
