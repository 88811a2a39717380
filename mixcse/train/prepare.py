"""What a training run is made of: options that go together, a model, a trainer."""

from collections.abc import Sequence

import torch
from datasets import Dataset
from transformers import EarlyStoppingCallback, TrainerCallback

from mixcse.base.console import say, warn
from mixcse.base.errors import UserError
from mixcse.data.batch import ContrastiveCollator
from mixcse.data.rows import hold_out
from mixcse.evaluate.dev import DevSets
from mixcse.model.chunking import LENGTH_CHUNKS, Chunking
from mixcse.model.fast_dropout import use_fast_dropout
from mixcse.model.loading import dropout_fields
from mixcse.model.packing import can_pack
from mixcse.model.pooling import check_pooler
from mixcse.model.prompts import left_out_of_pooling
from mixcse.model.sentence_model import SentenceModel
from mixcse.names import HELD_OUT_LOSS, SHORTEST_INPUT
from mixcse.options import DataArguments, ModelArguments
from mixcse.train.arguments import TrainArguments
from mixcse.train.gpu_recipe import compile_where_it_pays
from mixcse.train.hub import check_hub
from mixcse.train.trainer import MixCSETrainer

BY_LENGTH = ("group_by_length", "batch_rebalance")  # ways of transformers to sample batches
USUAL_DROPOUT = 0.1  # BERT's
USUAL_RANK = 16  # of adapters, for decoders, whose weights in full seldom fit a GPU, and for models without dropout


def check_options(model_args: ModelArguments, data_args: DataArguments, args: TrainArguments) -> None:
    """Raises UserError for options that cannot be run."""
    if not args.do_train:
        raise UserError("--do_train is off: nothing to do; evaluation.py scores a trained folder")
    if not data_args.train_file and not data_args.dataset_name:
        raise UserError("--train_file is missing: give a .txt file with a sentence a line, a table, or --dataset_name")
    check_devices(args)
    check_hub(args)
    if args.gpu_recipe:
        data_args.pad_to_max_length = True  # one shape


def check_devices(args: TrainArguments) -> None:
    """Raises UserError unless training can run here: on one device, in a precision it has."""
    if args.fp16 and not torch.cuda.is_available():
        raise UserError("--fp16 needs a CUDA GPU, and there is none; leave it out")
    if args.n_gpu > 1:
        raise UserError(
            f"{args.n_gpu} GPUs are visible, and one process would use them wrongly: launch one process for each, "
            f"torchrun --nproc_per_node={args.n_gpu} train.py …, or set CUDA_VISIBLE_DEVICES=0"
        )


def load_dev_sets(data_args: DataArguments, args: TrainArguments) -> DevSets | None:
    """What is scored along training, if anything is, with a metric that can select; notes that in `args`.

    Where there is no dev set and no metric is asked for, it is the loss on held-out sentences.

    Raises:
        UserError: the metric asked for is not scored, or a dev set is malformed.
    """
    if not args.do_eval:
        return None
    dev_sets = DevSets.load(data_args.senteval_data, args.validation_file, transfer=args.eval_transfer)
    if args.metric_is_default and not dev_sets.pairs:
        args.metric_for_best_model, args.greater_is_better = HELD_OUT_LOSS, False
    metric = args.metric_for_best_model.removeprefix("eval_")
    if metric in (*dev_sets.metrics, HELD_OUT_LOSS):
        return dev_sets
    if not dev_sets.pairs:
        raise UserError(
            f"no dev data: {dev_sets.missing}; point --senteval_data or $SENTEVAL_DATA at a folder with downstream/, "
            "get it with python -m mixcse.fetch, give pairs of your own with --validation_file, or leave out "
            "--metric_for_best_model: the loss on held-out sentences selects then"
        )
    raise UserError(
        f"--metric_for_best_model {metric} is not scored here; choose from "
        f"{', '.join((*dev_sets.metrics, HELD_OUT_LOSS))}"
    )


def load_model(model_args: ModelArguments, data_args: DataArguments) -> SentenceModel:
    """The model that training starts from, with the heads it needs; raises UserError if options do not fit it."""
    model = SentenceModel.from_pretrained(
        model_args.model_name_or_path, dropout=model_args.dropout, usual_dropout=USUAL_DROPOUT, **model_args.hub
    )
    check_pooler(model_args.pooler_type, model.encoder, is_causal=model.is_causal)
    if model.settings and model.settings.has_dense and not model.settings.are_those_of(model, model.recorded_pooler):
        raise UserError(
            f"{model_args.model_name_or_path}: a Dense module follows its pooling and would not be trained; train the "
            "model with sentence-transformers, for which mixcse.sentence_transformers has the loss"
        )
    if not SHORTEST_INPUT <= data_args.max_seq_length <= model.max_length:
        raise UserError(
            f"--max_seq_length {data_args.max_seq_length} is outside {SHORTEST_INPUT} to {model.max_length}, "
            "the model's limit"
        )
    if model_args.prompt is not None:
        model.prompt = model_args.prompt
    model.unpooled = left_out_of_pooling(
        model.prompt, model.tokenizer, pooler=model_args.pooler_type, max_length=data_args.max_seq_length,
        include_prompt=model.include_prompt,
    )  # fmt: skip
    if model_args.lora_rank is None and (model.is_causal or not dropout_fields(model.encoder.config)):
        model_args.lora_rank = min(USUAL_RANK, model.encoder.config.hidden_size)
        why = "a decoder" if model.is_causal else "no dropout in its configuration, and adapters have their own"
        say(
            f"{why}: adapters of rank {model_args.lora_rank} are trained (--lora_rank 0: all its weights); they want a "
            "larger --learning_rate than an encoder's weights, such as 3e-4"
        )
    if (model_args.lora_rank or 0) > model.encoder.config.hidden_size:
        raise UserError(
            f"--lora_rank {model_args.lora_rank} is more than the encoder's {model.encoder.config.hidden_size} "
            "dimensions"
        )
    if model_args.do_mlm and model.tokenizer.mask_token is None:
        raise UserError(f"--do_mlm: the tokenizer of {model_args.model_name_or_path} has no mask token; drop the flag")
    mlm_from = model_args.model_name_or_path if model_args.do_mlm else None
    model.prepare_training(model_args.pooler_type, mlm_from=mlm_from, **model_args.hub)
    if model_args.lora_rank:
        model.add_adapters(
            rank=model_args.lora_rank,
            alpha=model_args.lora_alpha,
            dropout=model_args.lora_dropout,
            targets=model_args.lora_target_modules,
        )
    return model


def make_trainer(
    model: SentenceModel,
    model_args: ModelArguments,
    data_args: DataArguments,
    args: TrainArguments,
    data: Dataset,
    dev_sets: DevSets | None,
    callbacks: Sequence[TrainerCallback] = (),
) -> MixCSETrainer:
    """The trainer of a prepared model, which is told how to lay out its batches; holds sentences out where asked."""
    held_out = None
    if args.do_eval and (args.held_out is not None or args.metric_for_best_model.endswith(HELD_OUT_LOSS)):
        data, held_out = hold_out(data, args.held_out, args.per_device_train_batch_size, args.seed)
    batch = args.world_size * args.per_device_train_batch_size
    if args.dataloader_drop_last and len(data) < batch:
        raise UserError(
            f"{data_args.source}: {len(data):,} examples to train on are fewer than a batch of {batch}, and "
            "incomplete ones are dropped; lower --per_device_train_batch_size"
        )
    if (sampling := getattr(args, "train_sampling_strategy", "random")) in BY_LENGTH:
        warn(f"--train_sampling_strategy {sampling}: the negatives of a sentence are of a length like its own")
        lengths = [max(map(len, rows)) for rows in data["input_ids"]]
        data, args.remove_unused_columns = data.add_column(args.length_column_name, lengths), False
    padding = _padding(model, data_args, args)
    model.packed = padding == "none"
    model.chunking = Chunking(
        count=1 if padding == "batch" else LENGTH_CHUNKS,
        rows=args.embedding_chunk_size,
        trim=not data_args.pad_to_max_length,
    )
    if args.device.type == "cpu" and padding != "batch":
        use_fast_dropout(model)
    collator = ContrastiveCollator(
        model.tokenizer,
        pad_to=data_args.max_seq_length if data_args.pad_to_max_length else None,
        mlm_probability=data_args.mlm_probability if model_args.do_mlm else None,
    )
    if args.gpu_recipe:
        compile_where_it_pays(args, len(data))
    callbacks = list(callbacks)
    if args.early_stopping_patience is not None:
        callbacks.append(EarlyStoppingCallback(args.early_stopping_patience, args.early_stopping_threshold or 0.0))
    return MixCSETrainer(
        model,
        args,
        model_args=model_args,
        data_collator=collator,
        train_dataset=data,
        dev_sets=dev_sets,
        callbacks=callbacks,
        held_out=held_out,
    )


def _padding(model: SentenceModel, data_args: DataArguments, args: TrainArguments) -> str:
    if args.padding == "none" and args.device.type != "cpu":
        raise UserError("--padding none is for a CPU; leave it out")
    if args.padding == "none" and not can_pack(model.encoder):
        adapted = "" if model.adapters is None else " with adapters in its last keys and values"
        raise UserError(
            f"--padding none is for encoders of BERT's kind, not {type(model.encoder).__name__}{adapted}; leave it out"
        )
    if args.padding in ("none", "chunks") and data_args.pad_to_max_length:
        raise UserError(f"--padding {args.padding} and --pad_to_max_length contradict each other; leave one out")
    if args.padding != "auto":
        return args.padding
    if args.device.type != "cpu" or data_args.pad_to_max_length:
        return "batch"
    return "none" if can_pack(model.encoder) else "chunks"
