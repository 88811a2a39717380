"""What frozen.py runs on each side: the commands by name, and the tiny model and files that they take."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

MAKE_BERT = """
import string, sys, torch
from transformers import AutoModel, BertConfig, BertTokenizerFast
signs = list(string.ascii_lowercase + string.digits + ".,'")
words = "[PAD] [UNK] [CLS] [SEP] [MASK] the a of to in cat dog".split() + signs + ["##" + sign for sign in signs]
open(sys.argv[1] + "/vocab.txt", "w").write("\\n".join(words))
vocab = sys.argv[1] + "/vocab.txt"
tokenizer = BertTokenizerFast(vocab=vocab, vocab_file=vocab, model_max_length=64)
torch.manual_seed(0)
sizes = dict(hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32)
config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, initializer_range=0.5, **sizes)
AutoModel.from_config(config).save_pretrained(sys.argv[1])
tokenizer.save_pretrained(sys.argv[1])
"""
# Types are named without the module they lie in, which may change.
SURFACE = r"""
import importlib, inspect, json, re
import mixcse, senteval
import mixcse.sentence_transformers as losses

def described(thing):
    if inspect.ismodule(thing):
        own = {n: v for n, v in vars(thing).items() if getattr(v, "__module__", "") == thing.__name__}
        return {n: described(v) for n, v in sorted(own.items()) if n[0] != "_"}
    if inspect.isclass(thing):
        members = {}
        for kind in reversed(thing.__mro__):
            if kind.__module__.split(".")[0] in ("mixcse", "senteval"):
                members |= {n: v for n, v in vars(kind).items() if n[0] != "_" or n in ("__init__", "__call__")}
        return {n: described(getattr(v, "__func__", v)) for n, v in sorted(members.items())}
    if callable(thing):
        return re.sub(r"\b(?:\w+\.)+(?=[A-Za-z_])| at 0x\w+", "", str(inspect.signature(thing)))
    return type(thing).__name__

own = {n: v for n, v in vars(losses).items() if getattr(v, "__module__", "").startswith(losses.__name__)}
print(json.dumps({
    "mixcse": {n: described(getattr(mixcse, n)) for n in mixcse.__all__},
    "mixcse.sentence_transformers": {n: described(v) for n, v in sorted(own.items()) if n[0] != "_"},
    "senteval": {n: described(getattr(senteval, n)) for n in senteval.__all__},
    "versions": [mixcse.__version__, mixcse.__all__, senteval.__all__],
}))
"""
BASE = (
    "--model_name_or_path {inputs}/bert --train_file {inputs}/sentences.txt --output_dir {out} --max_steps 5 "
    "--per_device_train_batch_size 8 --learning_rate 1e-3 --logging_steps 1 --senteval_data {inputs}/none"
)
DEV = "--validation_file {checkout}/data/sample/sts-dev.csv --eval_steps 2"
TRAINED = "{work}/train/dev"
SENTENCES = "{inputs}/sentences.txt"
USED = f"--model {TRAINED}"

TRAINING = {
    **{f"variant-{name}": f"--variant {name}" for name in ("released", "adaptive", "paper", "simcse")},
    **{f"pooler-{p}": f"--pooler_type {p}" for p in ("cls", "cls_before_pooler", "avg", "avg_top2", "avg_first_last")},
    **{f"padding-{name}": f"--padding {name}" for name in ("auto", "none", "chunks", "batch")},
    "mlm": "--do_mlm",
    "chunked": "--embedding_chunk_size 6",
    "mlm-chunked-batch": "--do_mlm --embedding_chunk_size 6 --padding batch --pad_to_max_length",
    "lora": "--lora_rank 4",
    "views-first": "--mixed_views first",
    "gradient": "--no_stop_gradient",
    "dropout": "--dropout 0.3",
    "accumulated": "--gradient_accumulation_steps 2 --dedupe",
    "pairs": "--train_file {inputs}/pairs.csv",
    "triplets": "--train_file {inputs}/triplets.jsonl --hard_negative_weight 0.5",
    "two-processes": f"--per_device_train_batch_size 4 {DEV}",
    "dev": DEV,
    "dev-body": f"{DEV} --mlp_only_train --save_strategy best",
    "patience": f"{DEV} --eval_steps 1 --early_stopping_patience 1 --early_stopping_threshold 0.5",
    "held-out": "--held_out 0.2 --eval_steps 2",
    "resumed": f"--max_steps 6 {DEV}",
}
HELP = (
    *("train.py --help", "train.py --help_all", "evaluation.py --help", "run_unsup_example.sh --help"),
    *("-m mixcse --help", "-m mixcse --version", "-m mixcse train --help", "-m mixcse train --help_all"),
    *(f"-m mixcse {name} --help" for name in ("evaluate", "encode", "search", "fetch", "reproduce")),
    *(f"-m mixcse reproduce {name} --help" for name in ("list", "run", "report")),
    *("-m mixcse.fetch --help", "-m mixcse.example --help", "-m mixcse.reproduce --help"),
    *(f"-m mixcse.reproduce {name} --help" for name in ("list", "run", "report")),
    "-m mixcse.reproduce list",
)
SCORED = f"evaluation.py --model_name_or_path {TRAINED} --output_json {{out}}/scores.json"
USE = {
    "encode/npy": [f"-m mixcse encode {USED} {SENTENCES} --output {{out}}/x.npy"],
    "encode/jsonl": [f"-m mixcse encode {USED} {SENTENCES} --output {{out}}/x.jsonl"],
    "encode/parquet": [f"-m mixcse encode {USED} {{inputs}}/pairs.csv --text_column sent1 --output {{out}}/x.parquet"],
    "encode/short": [f"-m mixcse encode {USED} {SENTENCES} --normalize --truncate_dim 8 --pooler avg_first_last"],
    "encode/processes": [f"-m mixcse encode {USED} {SENTENCES} --processes 2 --output {{out}}/x.npy"],
    "encode/lora": ["-m mixcse encode --model {work}/train/lora {inputs}/sentences.txt --output {out}/x.npy"],
    "search": [
        f"-m mixcse search {USED} --corpus {SENTENCES} --save_index {{out}}/index plums snow --top_k 3",
        f"-m mixcse search {USED} --index {{out}}/index cats --threshold 0.1",
    ],
    "evaluate/own": [f"{SCORED} --task_set na --validation_file {{checkout}}/data/sample/sts-test.csv"],
    "evaluate/sts": [f"{SCORED} --tasks STSBenchmark STS12 SICKRelatedness --senteval_data {{senteval}}"],
    "evaluate/dev": [f"{SCORED} --tasks STSBenchmark SICKRelatedness --mode dev --senteval_data {{senteval}}"],
    "evaluate/transfer": [
        f"{SCORED} --tasks CR TREC MRPC SICKEntailment --mode fasttest --senteval_data {{senteval}}"
    ],
    "reproduce": [
        "-m mixcse.reproduce run main --scale demo --seeds 42 --shard 4/5 --results_dir {out}/results "
        f"--work_dir {{out}}/work {BASE.replace('--output_dir {out}', '')} --eval_steps 2",
        "-m mixcse.reproduce report --results_dir {out}/results",
    ],
}  # fmt: skip
DEMO = "-m mixcse.example --profile demo --output_dir {out} --senteval_data {inputs}/none"


@dataclass(frozen=True)
class Job:
    """Commands that leave one folder, `{work}/NAME`, which is their `{out}`."""

    name: str
    commands: tuple[str, ...]
    after: tuple[str, ...] = ()  # jobs whose folders it takes


def _jobs() -> dict[str, Job]:
    jobs = [Job("surface", ("{inputs}/surface.py",))]
    for name, flags in TRAINING.items():
        launch = "-m torch.distributed.run --standalone --nproc_per_node 2 train.py" if "two" in name else "train.py"
        command = f"{launch} {BASE} {flags}"
        jobs.append(Job(f"train/{name}", (command, "INTERRUPT", command) if name == "resumed" else (command,)))
    jobs += [Job(name, tuple(commands), ("train/lora", "train/dev")) for name, commands in USE.items()]
    jobs += [Job(f"help/{re.sub('[ /]', '_', command)}", (command,)) for command in HELP]
    return {job.name: job for job in [*jobs, Job("demo", (DEMO,))]}


ALL = _jobs()


def make_inputs(folder: Path, sample: Path, python: str) -> None:
    """Fills the folder, unless it is filled."""
    if (folder / "triplets.jsonl").exists():  # written last
        return
    (folder / "bert").mkdir(parents=True)
    subprocess.run([python, "-c", MAKE_BERT, str(folder / "bert")], check=True, capture_output=True)
    (folder / "surface.py").write_text(SURFACE)
    lines = sample.read_text().splitlines()[:60]
    (folder / "sentences.txt").write_text("\n".join(lines) + "\n")
    quoted = [json.dumps(line.replace('"', "")) for line in lines]
    pairs = [f"{a},{b}" for a, b in zip(quoted, quoted[1:], strict=False)]
    (folder / "pairs.csv").write_text("\n".join(["sent0,sent1", *pairs]) + "\n")
    triplets = [dict(zip(("sent0", "sent1", "hard_neg"), lines[i : i + 3], strict=True)) for i in range(len(lines) - 2)]
    (folder / "triplets.jsonl").write_text("".join(json.dumps(row) + "\n" for row in triplets))
