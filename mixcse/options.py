"""The options of training.  Defaults are the released BERT-base recipe's, unless a comment says otherwise.
Nothing heavy is imported here: `train.py --help` is made of these fields.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

from mixcse.base.errors import UserError
from mixcse.base.ranges import check_range
from mixcse.names import LEAST_TEMPERATURE, MIXED_VIEWS, PADDING, POOLERS, VARIANTS


@dataclass
class ModelArguments:
    """What is trained, and by which objective."""

    _argument_group_name = "model and objective"

    model_name_or_path: str = field(
        default="bert-base-uncased", metadata={"help": "Encoder to start from: a folder or a Hub id."}
    )
    model_revision: str = field(default="main", metadata={"help": "Branch, tag or commit of a Hub model."})
    cache_dir: str | None = field(default=None, metadata={"metavar": "DIR", "help": "Where Hub models are cached."})
    trust_remote_code: bool = field(default=False, metadata={"help": "Run the code that a Hub model brings along."})
    pooler_type: str = field(
        default="cls", metadata={"choices": POOLERS, "help": "Pooler in training; cls has an MLP head."}
    )
    mlp_only_train: bool = field(
        default=False, metadata={"help": "With pooler cls: score the dev sets without the MLP head."}
    )
    variant: str = field(
        default="released", metadata={"choices": VARIANTS, "help": "Objective; see mixcse/objective.py."}
    )
    temperature: float = field(
        default=0.05, metadata={"help": "Temperature of the softmax, above 0.", "aliases": ["--temp"]}
    )
    mixing_lambda: float = field(
        default=0.2,  # paper, section 4
        metadata={"help": "Share of a mixed negative's first part, 0 to 1.", "aliases": ["--lambdas"]},
    )
    hard_negative_weight: float = field(
        default=0.0, metadata={"help": "Added to the logits of a row's own hard negatives."}
    )
    mixed_views: str = field(
        default="both", metadata={"choices": MIXED_VIEWS, "help": "Views that the released variants mix; for ablation."}
    )
    stop_gradient: bool = field(
        default=True, metadata={"help": "Mixes are constants: no gradient flows into them; for ablation."}
    )
    do_mlm: bool = field(default=False, metadata={"help": "Add the masked-LM loss."})
    mlm_weight: float = field(default=0.1, metadata={"help": "Weight of the masked-LM loss."})
    dropout: float | None = field(
        default=None,
        metadata={
            "help": "The encoder's dropout probability, which makes the two views of a sentence differ (default: "
            "its own, 0.1 for BERT; ModernBERT has none)."
        },
    )
    lora_rank: int | None = field(
        default=None,
        metadata={
            "help": "Train adapters of this rank (LoRA, with peft) and the cls head, in place of the encoder's "
            "weights; they want a larger --learning_rate, about ten times."
        },
    )
    lora_alpha: float | None = field(
        default=None, metadata={"help": "Scale of the adapters, over their rank (default: twice the rank)."}
    )
    lora_dropout: float | None = field(
        default=None, metadata={"help": "Dropout of what the adapters read (default: 0.1)."}
    )
    lora_target_modules: list[str] | None = field(
        default=None,
        metadata={"metavar": "NAME", "help": "Layers that get adapters, by name (default: all linear ones)."},
    )

    def __post_init__(self) -> None:
        check_range(self, "temperature", 0, open_below=True)
        check_range(self, "temperature", LEAST_TEMPERATURE)
        check_range(self, "hard_negative_weight", -math.inf)
        check_range(self, "mlm_weight", 0)
        check_range(self, "lora_rank", 1)
        check_range(self, "lora_alpha", 0, open_below=True)
        if not 0 <= self.mixing_lambda <= 1:
            raise UserError(f"--mixing_lambda must lie in 0 to 1, not {self.mixing_lambda}")
        for name in ("dropout", "lora_dropout"):
            if getattr(self, name) is not None and not 0 <= getattr(self, name) < 1:
                raise UserError(f"--{name} must be at least 0 and below 1, not {getattr(self, name)}")

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
        """The keywords of `mixcse.objective.logit_blocks`."""
        return {
            "temperature": self.temperature,
            "mixing_lambda": self.mixing_lambda,
            "variant": self.variant,
            "hard_negative_weight": self.hard_negative_weight,
            "mixed_views": self.mixed_views,
            "stop_gradient": self.stop_gradient,
        }

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

    train_file: list[str] | None = field(
        default=None,
        metadata={
            "help": "Files of one kind, or globs in quotes.  .txt: a sentence a line.  .csv, .tsv (with a header), "
            ".json, .jsonl, .parquet: columns sentence, or pair, hard negative.  Each also .gz."
        },
    )
    dataset_name: str | None = field(
        default=None, metadata={"help": "Instead of files: a data set of the Hub, or its folder."}
    )
    dataset_config_name: str | None = field(default=None, metadata={"help": "Configuration of that data set."})
    dataset_split: str = field(default="train", metadata={"help": "Split of that data set."})
    dataset_revision: str | None = field(default=None, metadata={"help": "Branch, tag or commit of it on the Hub."})
    text_column: str | None = field(default=None, metadata={"help": "Column of the sentences, where there are others."})
    sentence1_column: str | None = field(default=None, metadata={"help": "For pairs: column of the first sentence."})
    sentence2_column: str | None = field(default=None, metadata={"help": "Column of the second one."})
    hard_negative_column: str | None = field(default=None, metadata={"help": "Column of a pair's hard negative."})
    dedupe: bool = field(
        default=False,
        metadata={"help": "Leave out exact duplicates but the first, and lines of fewer than two letters or digits."},
    )
    max_seq_length: int = field(default=32, metadata={"help": "Tokens of a training sentence; longer ones are cut."})
    pad_to_max_length: bool = field(
        default=False, metadata={"help": "Pad every batch to max_seq_length, not to its longest row."}
    )
    mlm_probability: float = field(default=0.15, metadata={"help": "Share of tokens that --do_mlm masks."})
    preprocessing_num_workers: int | None = field(default=None, metadata={"help": "Processes that tokenise."})
    overwrite_cache: bool = field(default=False, metadata={"help": "Tokenise again, even if it was done before."})
    senteval_data: str | None = field(
        default=None,
        metadata={
            "metavar": "DIR",
            "help": "Folder that holds downstream/.  Default: $SENTEVAL_DATA, else SentEval/data.",
        },
    )

    def __post_init__(self) -> None:
        if not 0 < self.mlm_probability < 1:
            raise UserError(f"--mlm_probability must lie between 0 and 1, not {self.mlm_probability}")
        check_range(self, "preprocessing_num_workers", 1)
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

    `mixcse.train.arguments` adds the rest of transformers' options, and the checks.
    """

    _argument_group_name = "training"

    output_dir: str | None = field(
        default=None, metadata={"metavar": "DIR", "help": "Where checkpoints and the trained model go."}
    )
    overwrite_output_dir: bool = field(default=False, metadata={"help": "Start afresh, over an earlier run."})
    do_train: bool = field(default=True, metadata={"help": "Train."})
    validation_file: str | None = field(
        default=None,
        metadata={
            "metavar": "FILE",
            "help": "A dev set of your own: .csv, .tsv, .json, .jsonl or .parquet with columns sentence1, sentence2, "
            "score (of any scale), or STS-B's layout (tab separated; score in field 5, sentences in 6 and 7).  Adds "
            "dev_spearman, and is what alignment and uniformity are measured on.",
            "aliases": ["--eval_path"],
        },
    )
    held_out: float | None = field(
        default=None,
        metadata={
            "help": "Sentences kept from training to score the loss on, held_out_loss: a share (below 1) or a number "
            "(default: none with a dev set; without one 0.01, at most 1000, at least a batch)."
        },
    )
    eval_transfer: bool = field(
        default=False, metadata={"help": "Score the transfer tasks' dev sets too, at every evaluation."}
    )
    num_train_epochs: float = field(default=1.0, metadata={"help": "Passes over the training file."})
    per_device_train_batch_size: int = field(default=64, metadata={"help": "Sentences in a batch, each seen twice."})
    per_device_eval_batch_size: int = field(default=128, metadata={"help": "Sentences encoded at once for dev scores."})
    padding: str = field(
        default="auto",
        metadata={
            "choices": PADDING,
            "help": "How a batch is laid out: none, its sentences one after the other; chunks, in 8 chunks of similar "
            "length; batch, padded to its longest.  auto: none on a CPU (chunks, for encoders other than BERT's kind), "
            "batch on a GPU and with --pad_to_max_length.  The same mathematics; dropout draws other masks, on a CPU "
            "with 16 random bits an element unless it is batch (0.1 becomes 0.100006).",
        },
    )
    embedding_chunk_size: int | None = field(
        default=None,
        metadata={
            "help": "For batches that memory does not hold: encode this many rows at a time (a sentence is two), and "
            "once more for their gradients (GradCache).  The loss is that of the whole batch; a step takes a third "
            "longer."
        },
    )
    gpu_recipe: bool = field(
        default=False,
        metadata={
            "help": "For speed on a GPU: bf16 autocast with the loss in float32, batches of one shape, compiled where "
            "the run is long enough to pay for it; only better checkpoints are written.  Changes results beyond "
            "rounding."
        },
    )
    learning_rate: float = field(default=3e-5, metadata={"help": "Peak learning rate; it decays linearly to 0."})
    eval_strategy: Literal["no", "steps", "epoch"] | None = field(
        default=None,
        metadata={"help": "When to score the dev sets (default: steps).", "aliases": ["--evaluation_strategy"]},
    )
    eval_steps: int | None = field(default=None, metadata={"help": "Steps between evaluations (default: 125)."})
    save_strategy: Literal["no", "steps", "epoch", "best"] | None = field(
        default=None, metadata={"help": "When to write a checkpoint (default: at every evaluation)."}
    )
    save_steps: int | None = field(default=None, metadata={"help": "Steps between checkpoints (default: eval_steps)."})
    save_total_limit: int | None = field(  # not released: it kept the best only
        default=2, metadata={"help": "Checkpoints to keep on disk: the newest ones, and the best."}
    )
    logging_steps: int | None = field(
        default=None, metadata={"help": "Steps between logged losses (default: eval_steps, at most 125)."}
    )
    metric_for_best_model: str | None = field(
        default=None,
        metadata={
            "help": "What selects: stsb_spearman (default), sickr_spearman, avg_sts, avg_transfer, "
            "dev_spearman (default with --validation_file), or held_out_loss (default without a dev set)."
        },
    )
    ddp_timeout: int = field(  # one process evaluates, the others wait however long it takes
        default=30 * 24 * 3600, metadata={"help": "Seconds that a process waits for the others."}
    )
    load_best_model_at_end: bool | None = field(
        default=None,
        metadata={
            "help": "Keep the best checkpoint (default with dev scores), else the last step.",
            "nargs": "?",
            "const": True,
        },
    )
    early_stopping_patience: int | None = field(
        default=None,
        metadata={"help": "Stop after this many evaluations in a row without a better --metric_for_best_model."},
    )
    early_stopping_threshold: float | None = field(
        default=None, metadata={"help": "A score is better if it is by more than this (default: 0)."}
    )
