"""Options of `mixcse train`: of a wrong kind, out of range, unknown, contradictory; and files of options."""

import json
from collections.abc import Callable
from typing import Any

from bad_input.case import TRAIN, Case, Place, file


def _wrong(words: str, says: str) -> Case:
    """A command line that trains, but for these words at its end."""
    return Case(words, (*TRAIN, *words.split()), (says,))


def _bare(name: str, words: str, *says: str, make: Callable[[Place], Any] | None = None) -> Case:
    """A command line of these words alone; _ stands for an empty one."""
    return Case(name, ("train", *("" if word == "_" else word for word in words.split(" ") if word)), says, make)


def _from_json(name: str, content: str | bytes, *says: str) -> Case:
    words = ("train", "{folder}/options.json", *TRAIN[1:])
    return Case(f"options.json: {name}", words, ("options.json", *says), make=file("options.json", content))


# Options, what their numbers must be, and some that they are not.
RANGES = (
    ("temperature temp", "be at least 1e-06", "0 1e-320"),
    ("mixing_lambda lambdas", "lie in 0 to 1", "1.01"),
    ("mlm_probability", "lie between 0 and 1", "1.5"),
    ("dropout lora_dropout adam_beta1 adam_beta2", "be at least 0 and below 1", "1 -0.1"),
    ("lora_alpha num_train_epochs learning_rate adam_epsilon held_out negative_weight", "be above 0", "0"),
    ("lora_rank mlm_weight weight_decay max_grad_norm warmup_steps early_stopping_threshold", "be at least 0", "-1"),
    ("detached_negatives alignment_weight", "be at least 0", "-1"),
    ("per_device_eval_batch_size gradient_accumulation_steps embedding_chunk_size", "be at least 1", "0"),
    ("eval_steps save_steps logging_steps", "be a whole number of at least 1, or a share of the run below 1", "0 1.5"),
    ("early_stopping_patience ddp_timeout", "be at least 1", "0"),
    ("dataloader_prefetch_factor", "be at least 1", "0"),
    ("per_device_train_batch_size", "be at least 2 (a batch's other sentences are negatives)", "1"),
    ("max_steps", "be at least 1, or -1 for whole epochs", "0 -2"),
    ("seed data_seed", "lie in 0 to 4294967295", "-1 4294967296"),
    ("preprocessing_num_workers", "lie in 1 to ", "0 100000"),
    ("dataloader_num_workers", "lie in 0 to ", "-1 100000"),
    ("temperature mixing_lambda mlm_probability dropout learning_rate adam_beta2", "be a finite number", "nan"),
    ("hard_negative_weight mlm_weight weight_decay warmup_steps num_train_epochs", "be a finite number", "inf"),
    (
        "max_grad_norm held_out lora_alpha negative_weight detached_negatives alignment_weight",
        "be a finite number",
        "nan",
    ),
)
SHORT = {"temp": "temperature", "lambdas": "mixing_lambda"}
NUMBERS = [
    _wrong(f"--{name} {value}", f"--{SHORT.get(name, name)} must {range}")
    for names, range, values in RANGES
    for name in names.split()
    for value in values.split()
]
# Options with a value that is of another kind, and what is said of it.
KINDS = [
    _wrong(f"--{words}", says.format(words.split()[1]))
    for says, options in {
        "invalid float value: '{}'": ("temperature warm", "mixing_lambda half", "learning_rate 3e-5x"),
        "invalid int value: '{}'": (
            *("lora_rank 1.5", "max_seq_length 1e2", "per_device_train_batch_size x", "max_steps 1.5", "seed 1.5"),
            "preprocessing_num_workers two",
        ),
        "invalid choice: '{}'": (
            *("pooler_type mean", "variant mixcse", "mixed_views left", "padding left", "mix_with nearest"),
            *("lr_scheduler_type nothing", "optim nothing", "eval_strategy sometimes", "save_strategy never"),
        ),
        "got {} but expected one of yes/no": (
            *("do_mlm perhaps", "stop_gradient maybe", "trust_remote_code sometimes", "load_best_model_at_end maybe"),
        ),
    }.items()
    for words in options
]
FITTING = [
    _wrong("--temperature", "expected one argument"),
    _wrong("--lora_rank 17", "--lora_rank 17 is more than the encoder's 16 dimensions"),
    _wrong("--lora_rank 4 --lora_target_modules nothing", "no layer is named nothing; there are dense, key"),
    _wrong("--lora_rank 4 --lora_target_modules embeddings", "peft has adapters for linear layers, not for these"),
    _wrong("--max_seq_length 4 --prompt the-cat-sat", "which leaves no room for a sentence in the 4 of max_seq_length"),
    _wrong("--max_seq_length 65", "--max_seq_length 65 is outside 3 to 64, the model's limit"),
    _wrong("--per_device_train_batch_size 99999999999999999999", "these options cannot be run"),
    _wrong("--per_device_train_batch_size 33 --dataloader_drop_last", "32 examples to train on are fewer than a batch"),
    _wrong("--lr_scheduler_type cosine_with_min_lr", "min_lr"),
    _wrong("--do_train False", "--do_train is off: nothing to do"),
    _wrong("--fp16", "--fp16 needs a CUDA GPU"),
    _wrong("--padding none --pad_to_max_length", "--padding none and --pad_to_max_length contradict each other"),
    _wrong("--dataloader_prefetch_factor 2", "--dataloader_prefetch_factor can only be set when"),
    _wrong("--torch_compile_mode nonsense", "Unrecognized mode=nonsense"),
    _wrong("--report_to nothing", "nothing is not supported"),
    _wrong("--push_to_hub", "--push_to_hub: not possible with this token or network"),
    _wrong("--label_smoothing_factor 0.1", "--label_smoothing_factor: the objective has no labels to smooth"),
    _wrong("--neftune_noise_alpha 5", "--neftune_noise_alpha: noise in the embeddings is not part of the objective"),
    _wrong("--deepspeed {}", "--deepspeed: this trainer is not made for DeepSpeed"),
    _wrong("--do_predict", "--do_predict: there is nothing to predict"),
    _wrong("--resume_from_checkpoint out", "--resume_from_checkpoint: not needed"),
    _wrong("--fsdp full_shard", "fsdp"),
    _wrong("--lr_scheduler_kwargs {", "an option takes a JSON object, such as '{\"key\": 1}', not {"),
    _wrong('--lr_scheduler_kwargs {"x":1}', "got an unexpected keyword argument 'x'"),
    _wrong("--accelerator_config {folder}/none.json", "No such file or directory"),
    _wrong("--optim_args x", "these options cannot be run"),
    _wrong("--dataset_name x", "--train_file and --dataset_name: give one of them"),
    _wrong("--sentence1_column a", "pairs need both --sentence1_column and --sentence2_column"),
    _wrong("--text_column a --sentence1_column b --sentence2_column c", "--text_column is for single sentences"),
    _wrong("--sentence1_column a --sentence2_column a", "the column 'a' is named twice"),
]
SCORES = [
    _wrong("--eval_on_start True", "--eval_on_start needs dev scores, and there are none; add --do_eval"),
    _wrong("--early_stopping_patience 2", "--early_stopping_patience needs dev scores, and there are none"),
    _wrong("--do_eval --save_strategy no", "--load_best_model_at_end requires the save and eval strategy to match"),
    _wrong("--do_eval --eval_steps 2 --save_steps 3", "3, which is not a round multiple of 2"),
    _wrong("--do_eval --eval_strategy epoch --save_strategy steps", "Save strategy: "),
    _wrong("--metric_for_best_model accuracy --senteval_data {senteval}", "accuracy is not scored here; choose from"),
    _wrong("--metric_for_best_model stsb_spearman --senteval_data {folder}/none", "no dev data: {folder}/none"),
    _wrong("--eval_transfer --senteval_data {senteval}", "rt-polarity.pos: No such file or directory; name the data"),
    _wrong("--held_out 31", "32 sentences are too few to hold 31 of them (--held_out 31) out"),
]
UNKNOWN = [
    _wrong("--temprature 1", "unknown option --temprature; did you mean --temperature?"),
    _wrong("--lambda 0.2", "unknown option --lambda; did you mean --lambdas?"),
    _wrong("-x", "unknown option -x (see --help)"),
    _wrong("extra", "unexpected argument 'extra': options begin with --"),
]
WITH_DATA = "--train_file {folder}/good.txt"
LOOP = {"make": lambda place: (place / "l").symlink_to("l")}
PLACES = [
    _bare("nothing at all", "", "--output_dir is missing: say where"),
    _bare("no training file", "--output_dir {folder}/out", "--train_file is missing: give a .txt file"),
    _bare("no output folder", WITH_DATA, "--output_dir is missing"),
    _bare("an output folder without a name", "--output_dir _", "--output_dir is missing"),
    _bare("a model without a name", "--output_dir out --model_name_or_path _", "--model_name_or_path is empty"),
    _bare("a file as output folder", f"{WITH_DATA} --output_dir {{folder}}/good.csv", "good.csv is a file, no"),
    _bare("a link to itself as output folder", f"{WITH_DATA} --output_dir l", "l is a link to nowhere", **LOOP),
    Case(
        "a training file that starting afresh replaces",
        (*TRAIN, "--train_file", "out/config.json", "--overwrite_output_dir"),
        ("--output_dir {folder}/out: --overwrite_output_dir would replace out/config.json, which the run needs",),
        make=file("out/config.json", json.dumps(["a cat", "a dog"])),
    ),
    Case(
        "a model that starting afresh replaces",
        (*TRAIN, "--model_name_or_path", "model", "--output_dir", "./model", "--overwrite_output_dir"),
        ("--output_dir model: --overwrite_output_dir would replace model, which the run needs",),
        make=lambda place: place.copied_model(),
    ),
    Case(
        "a checkpoint that starting afresh removes",
        (*TRAIN, "--model_name_or_path", "out/checkpoint-2", "--overwrite_output_dir"),
        ("--overwrite_output_dir would replace out/checkpoint-2, which the run needs",),
        make=lambda place: place.copied_model("out/checkpoint-2"),
    ),
    Case(
        "an output folder with somebody's files",
        (*TRAIN, "--output_dir", "{folder}/taken"),
        ("taken is not empty and no run of train.py; name another",),
        make=file("taken/notes.txt", "mine"),
    ),
]
JSON = [
    _from_json("broken", "{", "not valid JSON"),
    _from_json("a list", "[1]", "expected an object that maps option names to values"),
    _from_json("an unknown option", '{"temprature": 1}', "did you mean --temperature?"),
    _from_json("a word for a number", '{"max_steps": "many"}', "invalid int value: 'many'"),
    _bare("options.json: not there", "{folder}/none.json", "none.json: No such file or directory"),
    _bare(
        *("options.json: a value out of range", "{folder}/options.json", "--mixing_lambda must lie in 0 to 1, not 2.0"),
        make=file("options.json", '{"output_dir": "out", "mixing_lambda": 2}'),
    ),
]
CASES = [*NUMBERS, *KINDS, *FITTING, *SCORES, *UNKNOWN, *PLACES, *JSON]
