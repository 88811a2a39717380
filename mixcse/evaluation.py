"""`evaluation.py`: scores a model on SentEval's tasks and prints the papers' tables."""

import argparse
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import scipy
import torch
import transformers

import senteval
from mixcse import __version__
from mixcse.console import UserError, quiet_libraries
from mixcse.dev import find_senteval_data, read_own_pairs, spread
from mixcse.encoder import SentenceEncoder
from mixcse.files import write_json
from mixcse.pooling import POOLERS
from mixcse.tables import print_report
from senteval.encoding import Encode, embed_distinct
from senteval.sts import score_sts

STS_TASKS = ("STS12", "STS13", "STS14", "STS15", "STS16", "STSBenchmark", "SICKRelatedness")
TRANSFER_TASKS = ("MR", "CR", "SUBJ", "MPQA", "SST2", "TREC", "MRPC")
TASK_SETS = {"sts": STS_TASKS, "transfer": TRANSFER_TASKS, "full": STS_TASKS + TRANSFER_TASKS}
DEV_TASKS = ("STSBenchmark", "SICKRelatedness")  # the STS tasks that have a dev split


@dataclass
class Report:
    """The outcome of one evaluation.

    Attributes:
        mode: `test`, `fasttest` or `dev`.
        scores: task -> dataset -> {pearson, spearman, nsamples}; task -> `all` -> kind ->
            {all, mean, wmean}.  Correlations lie in -1 to 1.
        headline: task -> the Spearman correlation, times 100, that tables show.
        missing: task -> why it has no score.
        own: {pearson, spearman, nsamples} of the pairs of `eval_path`.
        spread: `alignment`, `uniformity`, and what they were measured `on`.
    """

    mode: str
    scores: dict[str, Any] = field(default_factory=dict)
    headline: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)
    spread: dict[str, Any] = field(default_factory=dict)


def main(argv: list[str]) -> None:
    """Evaluates as the command line says; raises UserError for what the user can put right."""
    options = _parse(argv)
    quiet_libraries()
    encoder = SentenceEncoder(
        options.model_name_or_path,
        pooler=options.pooler,
        device=options.device,
        max_seq_length=options.max_seq_length,
    )
    start = time.time()
    try:
        report = evaluate(
            lambda sentences: encoder.encode(sentences, batch_size=options.batch_size, show_progress=True),
            TASK_SETS.get(options.task_set, options.tasks),
            find_senteval_data(options.senteval_data),
            mode=options.mode,
            eval_path=options.eval_path,
        )
    except senteval.EncoderError as error:
        raise UserError(f"{options.model_name_or_path} gives no usable embeddings: {error}") from error
    print_report(report)
    if options.output_json:
        write_json(options.output_json, _as_json(report, encoder, options, time.time() - start))
    if not report.scores and not report.own:
        raise UserError("nothing could be scored, for the reasons above")


def evaluate(
    encode: Encode,
    tasks: Sequence[str],
    data_dir: Path,
    *,
    mode: str = "test",
    eval_path: str | Path | None = None,
) -> Report:
    """Scores the named tasks, with one call of `encode` for all their distinct sentences.

    A task without usable data is named in the report and counts nowhere.

    Args:
        encode: `list[str] -> array (n, d)`.
        tasks: names in `STS_TASKS` and `TRANSFER_TASKS`.
        data_dir: the folder that holds `downstream/`.
        mode: `dev` reports dev splits (of the tasks that have one), else test splits.
        eval_path: pairs in STS-B's layout, scored too; then alignment and uniformity are
            measured on them, else on STS-B dev.

    Raises:
        UserError: `eval_path` is unreadable.
    """
    report = Report(mode)
    report.missing = {task: "transfer tasks are not available yet" for task in tasks if task in TRANSFER_TASKS}
    split = "dev" if mode == "dev" else "test"
    wanted = [task for task in tasks if task in (DEV_TASKS if mode == "dev" else STS_TASKS)]
    suite = senteval.Suite.load(wanted, data_dir, splits=[split])
    report.missing |= suite.missing

    own = None if eval_path is None else read_own_pairs(eval_path)
    monitor = own
    if own is None and suite.tasks:
        monitor = (
            senteval.Suite.load(["STSBenchmark"], data_dir, splits=["dev"]).tasks.get("STSBenchmark", {}).get("dev")
        )
    sentences = suite.sentences() + ([] if monitor is None else monitor.sentences())
    if not sentences:
        return report

    embedded = embed_distinct(encode, sentences)
    report.scores = suite.score(embedded)
    report.headline = {task: 100 * _headline(results, split) for task, results in report.scores.items()}
    if own is not None:
        report.own = score_sts({"own": own}, embedded)["own"]
    if monitor is not None:
        report.spread = spread(monitor, embedded) | {"on": "STS-B dev" if own is None else str(eval_path)}
    return report


def _headline(results: dict[str, Any], split: str) -> float:
    """Spearman of the split, or for STS12 to STS16 of all pairs concatenated."""
    return float(results[split]["spearman"][0] if split in results else results["all"]["spearman"]["all"])


def _as_json(report: Report, encoder: SentenceEncoder, options: argparse.Namespace, seconds: float) -> dict[str, Any]:
    return {
        "model_name_or_path": options.model_name_or_path,
        "pooler": encoder.pooler,
        "max_seq_length": encoder.max_seq_length,
        "device": str(encoder.device),
        "mode": report.mode,
        "headline": report.headline,
        "alignment_uniformity": report.spread,
        "own_pairs": _numbers(report.own),
        "scores": _numbers(report.scores),
        "missing": report.missing,
        "seconds": seconds,
        "versions": {
            "mixcse": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
    }


def _numbers(value: Any) -> Any:
    """scipy's result objects to their correlation, through nested dictionaries."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    return value if isinstance(value, int) else float(getattr(value, "statistic", value))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see --help)")


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="evaluation.py",
        description="Scores a sentence encoder on SentEval's STS tasks.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--model_name_or_path", required=True, help="a trained folder or a Hub id")
    add("--pooler", choices=POOLERS, help="default: the one that the model records, else cls_before_pooler")
    add("--mode", choices=("test", "fasttest", "dev"), default="test", help="the splits that are reported")
    add("--task_set", choices=("sts", "transfer", "full", "na"), default="sts", help="na: what --tasks names")
    add("--tasks", nargs="*", default=list(TASK_SETS["full"]), metavar="TASK", help="with --task_set na")
    add("--senteval_data", metavar="DIR", help="folder that holds downstream/ ($SENTEVAL_DATA, else SentEval/data)")
    add("--eval_path", metavar="FILE", help="pairs of your own in STS-B's layout, scored too")
    add("--output_json", metavar="FILE", help="write every number to this file")
    add("--batch_size", type=int, default=64, help="sentences in a forward pass")
    add("--max_seq_length", type=int, help="tokens; longer sentences are cut (default: the model's own limit)")
    add("--device", help="such as cpu or cuda:1 (default: the GPU if there is one)")
    options = parser.parse_args(argv)
    if unknown := [task for task in options.tasks if task not in TASK_SETS["full"]]:
        raise UserError(f"--tasks: unknown task {unknown[0]!r}; known: {', '.join(TASK_SETS['full'])}")
    if options.output_json:
        _check_output(Path(options.output_json))
    if options.batch_size < 1:
        raise UserError(f"--batch_size must be at least 1, not {options.batch_size}")
    return options


def _check_output(path: Path) -> None:
    """Raises UserError now rather than when the scores are there to be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output_json {path}: {error.strerror}") from error
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UserError(f"--output_json {path}: cannot be written to; name a file")
