"""The options of training.  Defaults are the released BERT-base recipe's, unless a comment says otherwise.
Nothing heavy is imported here: `train.py --help` is made of these fields.
"""

import os
from dataclasses import dataclass
from typing import Literal

from mixcse.base.errors import UserError
from mixcse.base.fields import BELOW_ONE, FINITE, Range, above, at_least, check_fields, option, within
from mixcse.names import LEAST_TEMPERATURE, MIX_WITH, MIXED_VIEWS, MIXING, PADDING, POOLERS, VARIANTS

STEPS = Range(
    "be a whole number of at least 1, or a share of the run below 1",
    lambda value: 0 < value < 1 or (value >= 1 and value == int(value)),
)
MOST_PROCESSES = max(64, 4 * (os.cpu_count() or 1))  # more would fill the machine


@dataclass
class ModelArguments:
    """What is trained, and by which objective."""

    _argument_group_name = "model and objective"

    model_name_or_path: str = option("bert-base-uncased", "Encoder to start from: a folder or a Hub id.")
    model_revision: str = option("main", "Branch, tag or commit of a Hub model.")
    cache_dir: str | None = option(None, "Where Hub models are cached.", metavar="DIR")
    trust_remote_code: bool = option(False, "Run the code that a Hub model brings along.")
    pooler_type: str = option("cls", "Pooler in training; cls has an MLP head; last is for decoders.", choices=POOLERS)
    prompt: str | None = option(
        None,
        "Prompt prepended to every sentence; saved with the model and used at inference (default: the base model's).",
        metavar="TEXT",
        may_be_empty=True,
    )
    mlp_only_train: bool = option(
        False, "With pooler cls: score the dev sets without the MLP head.", needs=("pooler_type", "cls")
    )
    variant: str = option("released", "Objective; see mixcse/objective.py.", choices=VARIANTS)
    temperature: float = option(
        0.05, "Temperature of the softmax, above 0.", range=at_least(LEAST_TEMPERATURE), aliases=["--temp"]
    )
    mixing_lambda: float = option(
        0.2,  # paper, section 4
        "Share of a mixed negative's first part, 0 to 1.",
        range=within(0, 1),
        needs=("variant", *MIXING),
        aliases=["--lambdas"],
    )
    hard_negative_weight: float = option(0.0, "Added to the logits of a row's own hard negatives.", range=FINITE)
    mixed_views: str = option(
        "both",
        "Views that the released variants mix; for ablation.",
        choices=MIXED_VIEWS,
        needs=("variant", "released", "adaptive"),
    )
    mix_with: str = option(
        "next",
        "Other sentence of a mix: the next row, or the hardest, the batch's negative closest to the anchor.",
        choices=MIX_WITH,
        needs=("variant", *MIXING),
    )
    stop_gradient: bool = option(
        True,
        "Mixes are constants: no gradient flows into them; for ablation.",
        needs=("variant", *MIXING),
    )
    negative_weight: float = option(
        1.0, "How often in-batch negatives count in the softmax; a control.", range=above(0)
    )
    detached_negatives: float = option(
        0.0,
        "Number of further copies of the in-batch negatives, without gradient (see docs/findings.md).",
        range=at_least(0),
    )
    alignment_weight: float = option(
        0.0, "Weight of the two views' squared distance, added to the loss; a control.", range=at_least(0)
    )
    do_mlm: bool = option(False, "Add the masked-LM loss.")
    mlm_weight: float = option(0.1, "Weight of the masked-LM loss.", range=at_least(0), needs=("do_mlm",))
    dropout: float | None = option(
        None,
        "Dropout probability of the encoder, the source of the two views (default: the model's, or 0.1 if that is 0).",
        range=BELOW_ONE,
    )
    lora_rank: int | None = option(
        None,
        "Train LoRA adapters of this rank (peft) and the cls head instead of all weights; use about ten times the "
        "--learning_rate (default: 16 for a decoder; 0: all weights).",
        range=at_least(0),
    )
    lora_alpha: float | None = option(
        None, "Scale of the adapters, over their rank (default: twice the rank).", range=above(0), needs=("lora_rank",)
    )
    lora_dropout: float | None = option(
        None, "Dropout of what the adapters read (default: 0.1).", range=BELOW_ONE, needs=("lora_rank",)
    )
    lora_target_modules: list[str] | None = option(
        None, "Layers that get adapters, by name (default: all linear ones).", metavar="NAME", needs=("lora_rank",)
    )

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def hub(self) -> dict[str, object]:
        """How to reach the model, for `from_pretrained`."""
        return {
            "revision": self.model_revision,
            "cache_dir": self.cache_dir,
            "trust_remote_code": self.trust_remote_code,
        }

    @property
    def objective(self) -> dict[str, object]:
        """Return the keywords of `mixcse.objective.logit_blocks`."""
        from mixcse.objective import OPTIONS  # imports torch

        return {name: getattr(self, name) for name in OPTIONS}

    @property
    def test_pooler(self) -> str:
        """The pooler to test the trained model with: released script, `cls_before_pooler` after `cls`."""
        return "cls_before_pooler" if self.pooler_type == "cls" else self.pooler_type

    @property
    def dev_pooler(self) -> str:
        """The pooler of the dev scores: the training one, head included unless `mlp_only_train`."""
        return self.test_pooler if self.mlp_only_train else self.pooler_type


@dataclass
class DataArguments:
    """What it is trained and selected on."""

    _argument_group_name = "data"

    train_file: list[str] | None = option(
        None,
        "Files of one kind, or globs in quotes.  .txt: a sentence a line.  .csv, .tsv (with a header), .json, .jsonl, "
        ".parquet: columns of known names (text; anchor, positive, negative; ...) or a single one.  Each also .gz.",
    )
    dataset_name: str | None = option(None, "Instead of files: a data set of the Hub, or its folder.")
    dataset_config_name: str | None = option(None, "Configuration of that data set.", needs=("dataset_name",))
    dataset_split: str = option("train", "Split of that data set.", needs=("dataset_name",))
    dataset_revision: str | None = option(None, "Branch, tag or commit of it on the Hub.", needs=("dataset_name",))
    text_column: str | None = option(None, "Column of the sentences, where there are others.")
    sentence1_column: str | None = option(None, "For pairs: column of the first sentence.")
    sentence2_column: str | None = option(None, "Column of the second one.")
    hard_negative_column: str | None = option(None, "Column of a pair's hard negative.")
    dedupe: bool = option(
        False, "Leave out exact duplicates but the first, and lines of fewer than two letters or digits."
    )
    max_seq_length: int = option(32, "Tokens of a training sentence; longer ones are cut.")
    pad_to_max_length: bool = option(False, "Pad every batch to max_seq_length, not to its longest row.")
    mlm_probability: float = option(
        0.15,
        "Share of tokens that --do_mlm masks.",
        range=Range("lie between 0 and 1", lambda value: 0 < value < 1),
        needs=("do_mlm",),
    )
    preprocessing_num_workers: int | None = option(None, "Processes that tokenise.", range=within(1, MOST_PROCESSES))
    overwrite_cache: bool = option(False, "Tokenise again, even if it was done before.")
    senteval_data: str | None = option(
        None, "Folder that holds downstream/.  Default: $SENTEVAL_DATA, else SentEval/data.", metavar="DIR"
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if isinstance(self.train_file, str):
            self.train_file = [self.train_file]
        if self.train_file and self.dataset_name:
            raise UserError("--train_file and --dataset_name: give one of them")
        pair = (self.sentence1_column, self.sentence2_column)
        if self.text_column and any((*pair, self.hard_negative_column)):
            raise UserError("--text_column is for single sentences, --sentence1_column and its kin for pairs; give one")
        if not all(pair) and any((*pair, self.hard_negative_column)):
            raise UserError("pairs need both --sentence1_column and --sentence2_column")
        if twice := [name for name in self.columns if self.columns.count(name) > 1]:
            raise UserError(f"the column {twice[0]!r} is named twice; a pair has a column for each of its sentences")

    @property
    def columns(self) -> list[str]:
        """The columns that hold the sentences, in order; empty if none is named."""
        named = (self.text_column, self.sentence1_column, self.sentence2_column, self.hard_negative_column)
        return [name for name in named if name]

    @property
    def source(self) -> str:
        """What is trained on, for messages."""
        if self.dataset_name:
            return f"--dataset_name {self.dataset_name}"
        return f"--train_file {' '.join(self.train_file or ())}"


@dataclass
class Recipe:
    """The options of training that transformers lacks, or has with another default or text.

    `mixcse.train.arguments` adds the rest of transformers' options, and what follows from one for another.
    """

    _argument_group_name = "training"

    output_dir: str | None = option(None, "Where checkpoints and the trained model go.", metavar="DIR")
    overwrite_output_dir: bool = option(False, "Start afresh, over an earlier run.")
    do_train: bool = option(True, "Train.")
    validation_file: str | None = option(
        None,
        "A dev set of your own: .csv, .tsv, .json, .jsonl or .parquet with columns sentence1, sentence2, score (of any "
        "scale), or STS-B's layout (tab separated; score in field 5, sentences in 6 and 7).  Adds dev_spearman, and is "
        "what alignment and uniformity are measured on.",
        metavar="FILE",
        aliases=["--eval_path"],
    )
    held_out: float | None = option(
        None,
        "Sentences kept from training to score the loss on, held_out_loss: a share (below 1) or a number (default: "
        "none with a dev set; without one 0.01, at most 1000, at least a batch).",
        range=above(0),
    )
    eval_transfer: bool = option(False, "Score the transfer tasks' dev sets too, at every evaluation.")
    num_train_epochs: float = option(1.0, "Passes over the training file.", range=above(0))
    per_device_train_batch_size: int = option(
        64,
        "Sentences in a batch, each seen twice.",
        range=Range("be at least 2 (a batch's other sentences are negatives)", lambda value: value >= 2),
    )
    per_device_eval_batch_size: int = option(128, "Sentences encoded at once for dev scores.", range=at_least(1))
    padding: str = option(
        "auto",
        "How a batch is laid out: none, its sentences one after the other; chunks, in 8 chunks of similar length; "
        "batch, padded to its longest.  auto: none on a CPU (chunks, for encoders other than BERT's kind), batch on a "
        "GPU and with --pad_to_max_length.  The same mathematics; dropout draws other masks, on a CPU with 16 random "
        "bits an element unless it is batch (0.1 becomes 0.100006).",
        choices=PADDING,
    )
    embedding_chunk_size: int | None = option(
        None,
        "Gradient caching (GradCache): encode the batch in chunks of this many rows (two per sentence) and recompute "
        "each chunk in the backward pass.  The loss is that of the whole batch; a step takes a third longer.",
        range=at_least(1),
    )
    gpu_recipe: bool = option(
        False,
        "For speed on a GPU: bf16 autocast with the loss in float32, batches of one shape, compiled where the run is "
        "long enough to pay for it; only better checkpoints are written.  Changes results beyond rounding.",
    )
    learning_rate: float = option(3e-5, "Peak learning rate; it decays linearly to 0.", range=above(0))
    eval_strategy: Literal["no", "steps", "epoch"] | None = option(
        None, "When to score the dev sets (default: steps).", aliases=["--evaluation_strategy"]
    )
    eval_steps: float | None = option(None, "Steps between evaluations (default: 125).", range=STEPS, metavar="N")
    save_strategy: Literal["no", "steps", "epoch", "best"] | None = option(
        None, "When to write a checkpoint (default: at every evaluation)."
    )
    save_steps: float | None = option(
        None, "Steps between checkpoints (default: eval_steps).", range=STEPS, metavar="N"
    )
    save_total_limit: int | None = option(  # not released: it kept the best only
        2, "Checkpoints to keep on disk: the newest ones, and the best."
    )
    logging_steps: float | None = option(
        None, "Steps between logged losses (default: eval_steps, at most 125).", range=STEPS, metavar="N"
    )
    metric_for_best_model: str | None = option(
        None,
        "What selects: stsb_spearman (default), sickr_spearman, avg_sts, avg_transfer, dev_spearman (default with "
        "--validation_file), or held_out_loss (default without a dev set).",
    )
    ddp_timeout: int = option(  # one process evaluates, the others wait however long it takes
        30 * 24 * 3600, "Seconds that a process waits for the others.", range=at_least(1)
    )
    load_best_model_at_end: bool | None = option(
        None, "Keep the best checkpoint (default with dev scores), else the last step.", nargs="?", const=True
    )
    early_stopping_patience: int | None = option(
        None,
        "Stop after this many evaluations in a row without a better --metric_for_best_model.",
        range=at_least(1),
    )
    early_stopping_threshold: float | None = option(
        None,
        "A score is better if it is by more than this (default: 0).",
        range=at_least(0),
        needs=("early_stopping_patience",),
    )


GROUPS = (ModelArguments, DataArguments, Recipe)
