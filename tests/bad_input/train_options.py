"""Options of `mixcse train`: of a wrong kind, out of range, unknown, contradictory; and files of options."""

import json
from collections.abc import Callable
from typing import Any

from bad_input.case import TRAIN, Case, Place, file


def _wrong(words: str, says: str, name: str | None = None) -> Case:
    """A command line that trains, but for these words at its end."""
    return Case(name or words, (*TRAIN, *words.split()), (says,))


def _from_json(name: str, content: str | bytes, *says: str) -> Case:
    words = ("train", "{folder}/options.json", *TRAIN[1:])
    return Case(f"options.json: {name}", words, ("options.json", *says), make=file("options.json", content))


def _bare(name: str, words: tuple[str, ...], *says: str, make: Callable[[Place], Any] | None = None) -> Case:
    return Case(name, ("train", *words), says, make)


def loop(place: Place) -> None:
    (place / "l").symlink_to("l")


OBJECTIVE = [
    _wrong("--temperature 0", "--temperature must be above 0, not 0.0"),
    _wrong("--temperature -0.05", "--temperature must be above 0, not -0.05"),
    _wrong("--temperature nan", "--temperature must be a finite number"),
    _wrong("--temperature inf", "--temperature must be a finite number"),
    _wrong("--temp 1e-320", "--temperature must be at least 1e-06"),
    _wrong("--temperature warm", "--temperature/--temp: invalid float value: 'warm'"),
    _wrong("--temperature", "expected one argument"),
    _wrong("--mixing_lambda -0.1", "--mixing_lambda must lie in 0 to 1, not -0.1"),
    _wrong("--mixing_lambda nan", "--mixing_lambda must lie in 0 to 1, not nan"),
    _wrong("--lambdas 1.01", "--mixing_lambda must lie in 0 to 1, not 1.01"),
    _wrong("--mixing_lambda half", "invalid float value: 'half'"),
    _wrong("--hard_negative_weight nan", "--hard_negative_weight must be a finite number, not nan"),
    _wrong("--hard_negative_weight -inf", "--hard_negative_weight"),
    _wrong("--hard_negative_weight heavy", "invalid float value: 'heavy'"),
    _wrong("--do_mlm --mlm_weight -1", "--mlm_weight must be at least 0, not -1"),
    _wrong("--mlm_weight inf", "--mlm_weight must be a finite number"),
    _wrong("--mlm_probability 0", "--mlm_probability must lie between 0 and 1, not 0.0"),
    _wrong("--mlm_probability 1.5", "--mlm_probability must lie between 0 and 1, not 1.5"),
    _wrong("--mlm_probability nan", "--mlm_probability must lie between 0 and 1, not nan"),
    _wrong("--pooler_type mean", "invalid choice: 'mean'"),
    _wrong("--variant mixcse", "invalid choice: 'mixcse'"),
    _wrong("--mixed_views left", "invalid choice: 'left'"),
    _wrong("--stop_gradient maybe", "--stop_gradient"),
    _wrong("--do_mlm perhaps", "got perhaps but expected one of yes/no"),
]
MODEL = [
    _wrong("--dropout 1", "--dropout must be at least 0 and below 1, not 1.0"),
    _wrong("--dropout -0.1", "--dropout must be at least 0 and below 1, not -0.1"),
    _wrong("--dropout nan", "--dropout must be at least 0 and below 1, not nan"),
    _wrong("--lora_rank 0", "--lora_rank must be at least 1, not 0"),
    _wrong("--lora_rank 1.5", "invalid int value: '1.5'"),
    _wrong("--lora_rank 17", "--lora_rank 17 is more than the encoder's 16 dimensions"),
    _wrong("--lora_alpha 0", "--lora_alpha must be above 0, not 0.0"),
    _wrong("--lora_alpha inf", "--lora_alpha must be a finite number"),
    _wrong("--lora_dropout 1", "--lora_dropout must be at least 0 and below 1"),
    _wrong("--lora_rank 4 --lora_target_modules nothing", "no layer is named nothing; there are dense, key"),
    _wrong("--lora_rank 4 --lora_target_modules embeddings", "peft has adapters for linear layers, not for these"),
    _wrong("--lora_target_modules", "expected at least one argument"),
    _wrong("--max_seq_length 2", "--max_seq_length 2 is outside 3 to 64, the model's limit"),
    _wrong("--max_seq_length 65", "--max_seq_length 65 is outside 3 to 64, the model's limit"),
    _wrong("--max_seq_length -5", "--max_seq_length -5 is outside 3 to 64"),
    _wrong("--max_seq_length 1e2", "invalid int value: '1e2'"),
    _wrong("--trust_remote_code sometimes", "got sometimes but expected one of yes/no"),
]
STEPS = [
    _wrong("--per_device_train_batch_size 0", "--per_device_train_batch_size must be at least 2"),
    _wrong("--per_device_train_batch_size 1", "a batch's other sentences are negatives"),
    _wrong("--per_device_train_batch_size -1", "--per_device_train_batch_size must be at least 2"),
    _wrong("--per_device_train_batch_size 1.5", "invalid int value: '1.5'"),
    _wrong("--per_device_train_batch_size x", "invalid int value: 'x'"),
    _wrong("--per_device_train_batch_size 99999999999999999999", "these options cannot be run"),
    _wrong("--per_device_train_batch_size 33 --dataloader_drop_last", "32 examples to train on are fewer than a batch"),
    _wrong("--per_device_eval_batch_size 0", "--per_device_eval_batch_size must be at least 1, not 0"),
    _wrong("--gradient_accumulation_steps 0", "--gradient_accumulation_steps must be at least 1"),
    _wrong("--embedding_chunk_size 0", "--embedding_chunk_size must be at least 1, not 0"),
    _wrong("--max_steps 0", "--max_steps must be at least 1, or -1 for whole epochs, not 0"),
    _wrong("--max_steps -2", "--max_steps must be at least 1, or -1 for whole epochs, not -2"),
    _wrong("--max_steps 1.5", "invalid int value: '1.5'"),
    _wrong("--num_train_epochs 0", "--num_train_epochs must be above 0, not 0.0"),
    _wrong("--num_train_epochs nan", "--num_train_epochs must be a finite number"),
    _wrong("--num_train_epochs inf", "--num_train_epochs must be a finite number"),
    _wrong("--learning_rate 0", "--learning_rate must be above 0, not 0.0"),
    _wrong("--learning_rate -1", "--learning_rate must be above 0, not -1.0"),
    _wrong("--learning_rate inf", "--learning_rate must be a finite number"),
    _wrong("--learning_rate 3e-5x", "invalid float value: '3e-5x'"),
    _wrong("--seed -1", "--seed must lie in 0 to 4294967295, not -1"),
    _wrong("--seed 4294967296", "--seed must lie in 0 to 4294967295"),
    _wrong("--seed 1.5", "invalid int value: '1.5'"),
    _wrong("--data_seed -1", "--data_seed must lie in 0 to 4294967295, not -1"),
    _wrong("--weight_decay nan", "--weight_decay must be a finite number, not nan"),
    _wrong("--weight_decay -1", "--weight_decay must be at least 0, not -1.0"),
    _wrong("--max_grad_norm nan", "--max_grad_norm must be a finite number"),
    _wrong("--warmup_steps nan", "--warmup_steps must be a finite number"),
    _wrong("--adam_beta1 1", "--adam_beta1 must be at least 0 and below 1, not 1.0"),
    _wrong("--adam_beta2 nan", "--adam_beta2 must be at least 0 and below 1, not nan"),
    _wrong("--adam_epsilon 0", "--adam_epsilon must be above 0"),
    _wrong("--lr_scheduler_type nothing", "invalid choice: 'nothing'"),
    _wrong("--lr_scheduler_type cosine_with_min_lr", "min_lr"),
    _wrong("--optim nothing", "invalid choice: 'nothing'"),
]
SCORES = [
    _wrong("--eval_steps 0", "--eval_steps must be at least 1, not 0"),
    _wrong("--eval_steps 0.5", "invalid int value: '0.5'"),
    _wrong("--save_steps -5", "--save_steps must be at least 1, not -5"),
    _wrong("--logging_steps 0", "--logging_steps must be at least 1, not 0"),
    _wrong(
        "--dataloader_num_workers 100000",
        "--dataloader_num_workers 100000: this machine would be full of processes; at most",
    ),
    _wrong(
        "--preprocessing_num_workers 100000",
        "--preprocessing_num_workers 100000: this machine would be full of processes; at most",
    ),
    _wrong("--eval_strategy sometimes", "invalid choice: 'sometimes'"),
    _wrong("--eval_on_start True", "--eval_on_start needs dev scores, and there are none; add --do_eval"),
    _wrong("--save_strategy never", "invalid choice: 'never'"),
    _wrong("--save_strategy best", "--save_strategy best needs dev scores, and there are none; add --do_eval"),
    _wrong("--do_eval --save_strategy no", "--load_best_model_at_end requires the save and eval strategy to match"),
    _wrong("--do_eval --eval_steps 2 --save_steps 3", "3, which is not a round multiple of 2"),
    _wrong("--do_eval --eval_strategy epoch --save_strategy steps", "Save strategy: "),
    _wrong("--load_best_model_at_end maybe", "got maybe but expected one of yes/no"),
    _wrong("--metric_for_best_model accuracy --senteval_data {senteval}", "accuracy is not scored here; choose from"),
    _wrong("--metric_for_best_model stsb_spearman --senteval_data {folder}/none", "no dev data: {folder}/none"),
    _wrong("--eval_transfer --senteval_data {senteval}", "rt-polarity.pos: No such file or directory; name the data"),
    _wrong("--early_stopping_patience 0 --do_eval", "--early_stopping_patience must be at least 1"),
    _wrong("--early_stopping_patience 2", "--early_stopping_patience needs dev scores, and there are none"),
    _wrong("--early_stopping_threshold -1", "--early_stopping_threshold must be at least 0"),
    _wrong("--held_out 0", "--held_out must be above 0, not 0.0"),
    _wrong("--held_out nan", "--held_out must be a finite number, not nan"),
    _wrong("--held_out 31", "32 sentences are too few to hold 31 of them (--held_out 31) out"),
    _wrong("--held_out 0.999", "32 sentences are too few to hold"),
]
LAYOUT = [
    _wrong("--padding left", "invalid choice: 'left'"),
    _wrong("--padding none --pad_to_max_length", "--padding none and --pad_to_max_length contradict each other"),
    _wrong("--padding chunks --pad_to_max_length", "--padding chunks and --pad_to_max_length contradict each other"),
    _wrong("--fp16", "--fp16 needs a CUDA GPU"),
    _wrong("--ddp_timeout 0", "--ddp_timeout must be at least 1, not 0"),
    _wrong("--preprocessing_num_workers 0", "--preprocessing_num_workers must be at least 1"),
    _wrong("--preprocessing_num_workers two", "invalid int value: 'two'"),
    _wrong("--dataloader_num_workers -1", "--dataloader_num_workers must be at least 0, not -1"),
    _wrong(
        "--dataloader_num_workers 1 --dataloader_prefetch_factor 0", "--dataloader_prefetch_factor must be at least 1"
    ),
    _wrong("--dataloader_prefetch_factor 2", "--dataloader_prefetch_factor can only be set when"),
    _wrong("--torch_compile_mode nonsense", "Unrecognized mode=nonsense"),
    _wrong("--torch_compile_backend nonsense", "'NONSENSE' is not a valid DynamoBackend"),
    _wrong("--report_to nothing", "nothing is not supported"),
    _wrong("--push_to_hub", "--push_to_hub: HF_HUB_OFFLINE is set"),
    _wrong("--label_smoothing_factor 0.1", "--label_smoothing_factor: the objective has no labels to smooth"),
    _wrong("--neftune_noise_alpha 5", "--neftune_noise_alpha: noise in the embeddings is not part of the objective"),
    _wrong("--deepspeed {}", "--deepspeed: this trainer is not made for DeepSpeed"),
    _wrong("--do_predict", "--do_predict: there is nothing to predict"),
    _wrong("--resume_from_checkpoint out", "--resume_from_checkpoint: not needed"),
    _wrong("--fsdp full_shard", "fsdp"),
    _wrong("--lr_scheduler_kwargs {", "--lr_scheduler_kwargs takes a JSON object"),
    _wrong("--lr_scheduler_kwargs [1]", "--lr_scheduler_kwargs takes a JSON object"),
    _wrong('--lr_scheduler_kwargs {"x":1}', "got an unexpected keyword argument 'x'"),
    _wrong('--accelerator_config {"x":true}', "unexpected keyword argument 'x'"),
    _wrong("--accelerator_config {folder}/none.json", "No such file or directory"),
    _wrong("--optim_args x", "these options cannot be run"),
]
UNKNOWN = [
    _wrong("--temprature 1", "unknown option --temprature; did you mean --temperature?"),
    _wrong("--lambda 0.2", "unknown option --lambda; did you mean --lambdas?"),
    _wrong("--no_cuda", "unknown option --no_cuda: today it is --use_cpu"),
    _wrong("--save_safetensors", "weights are always safetensors"),
    _wrong("--jit_mode_eval", "unknown option --jit_mode_eval"),
    _wrong("-x", "unknown option -x (see --help)"),
    _wrong("extra", "unexpected argument 'extra': options begin with --"),
    _bare("nothing at all", (), "--output_dir is missing: say where"),
    _bare("no training file", ("--output_dir", "{folder}/out"), "--train_file is missing: give a .txt file"),
    _bare("no output folder", ("--train_file", "{folder}/good.txt"), "--output_dir is missing"),
    _bare("an output folder without a name", ("--output_dir", ""), "--output_dir is missing"),
    _bare("a file as output folder", (*TRAIN[1:], "--output_dir", "{folder}/good.csv"), "good.csv is a file, no"),
    _bare(
        "an output folder below a file",
        (*TRAIN[1:], "--output_dir", "{folder}/good.csv/x"),
        "good.csv is a file, no folder",
    ),
    _bare("an output folder of a name too long", (*TRAIN[1:], "--output_dir", "x" * 300), "File name too long"),
    _wrong("--do_train False", "--do_train is off: nothing to do"),
    _bare("a model without a name", (*TRAIN[1:], "--model_name_or_path", ""), "--model_name_or_path is empty"),
    _bare("a data folder without a name", (*TRAIN[1:], "--senteval_data", ""), "--senteval_data is empty"),
    _bare("a validation file without a name", (*TRAIN[1:], "--eval_path", ""), "--validation_file is empty"),
    _bare("a training file without a name", (*TRAIN[1:], "--train_file", ""), "--train_file is empty"),
    _wrong("--dataset_name x", "--train_file and --dataset_name: give one of them"),
    _wrong("--sentence1_column a", "pairs need both --sentence1_column and --sentence2_column"),
    _wrong("--hard_negative_column a", "pairs need both --sentence1_column and --sentence2_column"),
    _wrong("--text_column a --sentence1_column b --sentence2_column c", "--text_column is for single sentences"),
    _wrong("--sentence1_column a --sentence2_column a", "the column 'a' is named twice"),
    _bare("a link to itself as output folder", (*TRAIN[1:], "--output_dir", "l"), "l is a link to nowhere", make=loop),
    _bare(
        "an output folder below such a link", (*TRAIN[1:], "--output_dir", "l/x"), "l is a link to nowhere", make=loop
    ),
    _bare("an output folder with a NUL in its name", (*TRAIN[1:], "--output_dir", "a\0b"), "has no NUL character"),
    _bare("an output folder that is no UTF-8", (*TRAIN[1:], "--output_dir", "a\udcff"), "command line is not UTF-8"),
    _bare("a line end in a name", (*TRAIN[1:], "--train_file", "a\nb.txt"), "--train_file a\\nb.txt: no such file"),
    _bare("a number of 5,000 digits", (*TRAIN[1:], "--seed", "9" * 5000), "--seed: invalid int value: '9999", "9…"),
    _bare("a seed of 4,000 digits", (*TRAIN[1:], "--seed", "9" * 4000), "--seed must lie in 0 to 4294967295", " … "),
    Case(
        "a training file that starting afresh replaces",
        (*TRAIN, "--train_file", "out/config.json", "--overwrite_output_dir"),
        ("--output_dir {folder}/out: --overwrite_output_dir would replace out/config.json, which the run needs",),
        make=file("out/config.json", json.dumps(["a cat", "a dog"])),
    ),
    Case(
        "pairs that starting afresh replaces",
        (*TRAIN, "--validation_file", "out/checkpoint-2/v.csv", "--overwrite_output_dir"),
        ("--overwrite_output_dir would replace out/checkpoint-2/v.csv, which the run needs",),
        make=file("out/checkpoint-2/v.csv", "sentence1,sentence2,score\na,b,1\nc,d,2\n"),
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
    _from_json("empty", "", "not valid JSON"),
    _from_json("a list", "[1]", "expected an object that maps option names to values"),
    _from_json("UTF-16", '{"seed": 1}'.encode("utf-16"), "not UTF-8"),
    _from_json("deeply nested", "[" * 100_000, "not valid JSON"),
    _from_json("a number of 5,000 digits", '{"seed": 1' + "0" * 5000 + "}", "not valid JSON"),
    _from_json("an unknown option", '{"temprature": 1}', "did you mean --temperature?"),
    _from_json("an option with its dashes", '{"--seed": 1}', "unknown option ----seed; did you mean --seed?"),
    _from_json("a word for a number", '{"max_steps": "many"}', "invalid int value: 'many'"),
    _from_json("an object for a number", '{"temperature": {"a": 1}}', "invalid float value"),
    _from_json("a choice there is not", '{"variant": "best"}', "invalid choice: 'best'"),
    _from_json("half a character", json.dumps({"model_name_or_path": "\ud800"}), "half a character"),
    Case("options.json: not there", ("train", "{folder}/none.json"), ("none.json: No such file or directory",)),
    Case(
        "options.json: a folder",
        ("train", "{folder}/options.json"),
        ("options.json: Is a directory",),
        make=lambda place: (place / "options.json").mkdir(),
    ),
    Case(
        "options.json: a value out of range",
        ("train", "{folder}/options.json"),
        ("--mixing_lambda must lie in 0 to 1, not 2.0",),
        make=file("options.json", '{"output_dir": "out", "mixing_lambda": 2}'),
    ),
]
CASES = [*OBJECTIVE, *MODEL, *STEPS, *SCORES, *LAYOUT, *UNKNOWN, *JSON]
