"""`python -m mixcse.reproduce list | run | report`."""

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from prettytable import PrettyTable

from mixcse.base.console import OneLineParser, WithExamples, quiet_libraries, say
from mixcse.base.errors import UserError
from mixcse.base.files import ROOT, check_place
from mixcse.reproduce.experiment import SCALES, load_experiments, load_scale

RESULTS, WORK = ROOT / "results", ROOT / "result" / "reproduce"


def main(argv: list[str], prog: str = "python -m mixcse.reproduce") -> None:
    """Does what the command line says; raises UserError for what the user can put right."""
    options, rest = _parser(prog).parse_known_args(argv)
    if rest and options.command != "run":
        raise UserError(f"unexpected argument {rest[0]!r} (see --help)")
    {"list": _list, "run": lambda options: _run(options, rest), "report": _report}[options.command](options)


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog=prog,
        description="Reproduces the papers' tables: what there is to run, running it, reporting it.",
        epilog=f"""examples:
  {prog} list
  {prog} run main --scale demo --train_file sentences.txt --seeds 42
  {prog} report""",
        formatter_class=WithExamples,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, parser_class=OneLineParser)
    commands.add_parser("list", help="show the experiments", allow_abbrev=False)
    run = commands.add_parser(
        "run",
        help="run experiments; what is finished is skipped, what was stopped continues",
        description="Runs experiments.  Any further option of train.py (--train_file, --max_steps, …) holds for every "
        "run, unless the experiment itself varies it.",
        epilog=f"example: {prog} run main lambda --scale demo --seeds 42 0 1",
        allow_abbrev=False,
    )
    run.add_argument("experiments", nargs="+", metavar="NAME", help="names of `list`, or all")
    run.add_argument(
        "--scale", choices=SCALES, default="paper", help="paper: the released recipe, on a GPU; demo: small, on a CPU"
    )
    run.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="default: 42 0 1 2 3")
    run.add_argument("--shard", metavar="I/N", help="do the I-th of N parts of the list (1/4 … 4/4 on four machines)")
    run.add_argument("--results_dir", type=Path, help="where records go (default: results/<scale>/<training file>)")
    run.add_argument("--work_dir", type=Path, help="where models and logs go (default: result/reproduce/<scale>)")
    run.add_argument("--discard_models", action="store_true", help="delete a run's trained weights once it is scored")
    run.add_argument("--replace", action="store_true", help="do runs again that were made with other options or data")
    run.add_argument("--dry_run", action="store_true", help="show what would be run, and stop")
    report = commands.add_parser("report", help="write report.md and its figures", allow_abbrev=False)
    report.add_argument(
        "--results_dir", type=Path, default=RESULTS, help="the folder to look for records in, and to write to"
    )
    return parser


def _list(options: argparse.Namespace) -> None:
    table = PrettyTable(["experiment", "what it asks", "arms", "expected at paper scale", "command, time, hardware"])
    table.align = "l"
    table.max_width = 34
    table.hrules = 1
    for experiment in load_experiments().values():
        arms = ", ".join(arm.name for arm in experiment.arms)
        expected = "{score} [{source}]".format(**experiment.expected)
        how = "{command}: {time}; {hardware}".format(command=experiment.command, **experiment.expected)
        table.add_row([experiment.name, experiment.question, arms, expected, how])
    sys.stdout.write(f"{table}\n")
    for scale in map(load_scale, SCALES):
        sys.stdout.write(f"--scale {scale.name}: {scale.about}  Models: {', '.join(scale.models)}.\n")
    sys.stdout.flush()


def _run(options: argparse.Namespace, rest: list[str]) -> None:
    from mixcse.reproduce.plan import check_data, name_on_disk
    from mixcse.reproduce.record import Records
    from mixcse.reproduce.runner import do_runs

    quiet_libraries()
    for option in ("results_dir", "work_dir"):
        if folder := getattr(options, option):
            check_place(folder, f"--{option}")
    plan = _planned(options, rest)
    runs = _shard(plan, options.shard)
    corpus = name_on_disk(Path(plan[0].options["train_file"]).stem)
    records = Records(options.results_dir or RESULTS / options.scale / corpus)
    if not options.dry_run:
        check_data(plan)
    remaining = _remaining(runs, records, replace=options.replace)
    say(f"{load_scale(options.scale).title}: {len(runs)} runs, {len(runs) - len(remaining)} of them finished")
    if options.dry_run:
        sys.stdout.write("".join(f"{run.slug}\n" for run in remaining))
        return
    try:
        failed, busy = do_runs(
            remaining, records, options.work_dir or WORK / options.scale, keep_models=not options.discard_models
        )
    except KeyboardInterrupt:
        say("\nstopped; the same command goes on from here")
        raise
    if failed:
        raise UserError(
            f"{len(failed)} of {len(remaining)} runs failed, such as {failed[0]}; the same command tries them again"
        )
    if busy:
        say(f"{len(busy)} runs were left to other processes, which are at them; all others are finished")
    else:
        say(f"all runs are in {records.runs}; see them: python -m mixcse.reproduce report")


def _planned(options: argparse.Namespace, rest: list[str]) -> list[Any]:
    """The runs that the named experiments need."""
    from mixcse.reproduce.plan import SEEDS, make_plan, parse_overrides

    known = load_experiments()
    if unknown := [name for name in options.experiments if name not in (*known, "all")]:
        raise UserError(f"no experiment {unknown[0]!r}; there are {', '.join(known)}, all (names come before options)")
    chosen = known if "all" in options.experiments else dict.fromkeys(options.experiments)
    seeds = dict.fromkeys(options.seeds or SEEDS)
    plan = make_plan([known[name] for name in chosen], load_scale(options.scale), list(seeds), parse_overrides(rest))
    if not plan:
        raise UserError(f"{', '.join(chosen)}: nothing of it is run at --scale {options.scale}")
    return list(plan.values())


def _shard(plan: list[Any], shard: str | None) -> list[Any]:
    if shard is None:
        return plan
    words = re.fullmatch(r"(\d+)/(\d+)", shard)
    number, parts = map(int, words.groups()) if words else (0, 0)
    if not 1 <= number <= parts:
        raise UserError(f"--shard {shard}: expected I/N with I from 1 to N, such as 2/4")
    return plan[number - 1 :: parts]


def _remaining(runs: list[Any], records: Any, *, replace: bool) -> list[Any]:
    """Return the runs without a finished record; raise UserError if records would be replaced without `--replace`."""
    from mixcse.reproduce.record import changes

    known = records.read()
    changed = {run.slug: changes(known[run.slug], run) for run in runs if run.slug in known}
    others = [slug for slug, names in changed.items() if {"options", "data"} & {*names}]
    if others and not replace:
        names = " and ".join(name for name in changed[others[0]] if name in ("options", "data"))
        raise UserError(
            f"{records.runs} holds {len(others)} of these runs with other {names} (such as {others[0]}): "
            "name another --results_dir, or pass --replace to do them again"
        )
    for slug, names in changed.items():
        if names:
            say(f"again: {slug} (changed: {', '.join(names)})")
    return [run for run in runs if changed.get(run.slug) != []]


def _report(options: argparse.Namespace) -> None:
    from mixcse.reproduce.report import write_report

    quiet_libraries()
    say(f"written: {write_report(options.results_dir)}")
