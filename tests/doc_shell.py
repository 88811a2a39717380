"""Runs the shell snippets of the docs: our programs in this process, which saves starting them, the rest in bash."""

import contextlib
import io
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import takewhile
from pathlib import Path

import doc_pages
import pytest
from packaging.requirements import Requirement

ROOT = doc_pages.ROOT
UNIX = {"cat", "echo", "printf", "head", "tail", "wc", "ls", "gzip", "zcat", "mkdir", "cp"}
# What a training command gets besides, for it to take a second: the last value of an option holds.
FEW_STEPS = ["--max_steps", "2", "--per_device_train_batch_size", "8"]
FEW_STEPS_APART = ["--eval_steps", "1"]
ASKS_FOR_DEV_SCORES = {"--do_eval", "--eval_steps", "--eval_path", "--validation_file", "--held_out"}
# Words that show nothing of ours, or reach outside, each with the reason why they are not run.
NOT_RUN = {
    ". .venv/bin/activate": "an environment is active already; tests/run.sh makes that one",
    "hf auth login": "asks for a token",
    "git clone": "the sandbox looks like a clone",
    "cd mixcse": "the sandbox looks like a clone",
    "tensorboard": "serves until it is stopped",
}


def run_block(block: str) -> None:
    """Runs every command of a block, in the current folder; raises what a command raises.

    An unknown command fails.  Training is cut to `FEW_STEPS` and draws nothing,
    `mixcse.reproduce run` gets `--dry_run`, fetching has its downloads left out.  What
    `torchrun` starts (tests/train/test_distributed.py runs it), scripts for a cluster, benchmarks and
    the two commands of the README (CI runs them) are only held against the options that there are.
    """
    if block.startswith("#!"):
        _check_script(block)
        return
    with pytest.MonkeyPatch.context() as exported:
        for line in _lines(block):
            if not any(line == known or line.startswith(f"{known} ") for known in NOT_RUN):
                _run_line(line, exported)


def _run_line(text: str, exported: pytest.MonkeyPatch) -> None:
    """One command or pipeline, a heredoc and all; in bash if none of our programs is in it."""
    stages = _stages(text.partition("\n")[0])
    if all(words[0] in UNIX for words, _, _ in stages):
        done = subprocess.run(["bash", "-c", f"set -o pipefail; {text}"], capture_output=True, text=True)
        assert done.returncode == 0, f"{text}: {done.stderr}"
        return
    flow = ""
    for words, source, target in stages:
        if words[0] == "export":
            for name, value in (word.split("=", 1) for word in words[1:]):
                exported.setenv(name, value)
            continue
        if source:
            flow = Path(source).read_text(encoding="utf-8")
        with pytest.MonkeyPatch.context() as patch:
            while assigned := re.fullmatch(r"([A-Z_]+)=(.*)", words[0]):
                patch.setenv(assigned[1], assigned[2])
                words = words[1:]
            flow = _run_command(words, flow)
        if target:
            Path(target).write_text(flow, encoding="utf-8")


def _run_command(words: list[str], given: str) -> str:
    """One command, told `given` on standard input; what it wrote to standard output."""
    for count in (3, 2):
        if main := PROGRAMS.get(" ".join(words[:count])):
            return _captured(main, words[count:], given)
    if words[0] in UNIX:
        done = subprocess.run(words, input=given, capture_output=True, text=True)
        assert done.returncode == 0, f"{shlex.join(words)}: {done.stderr}"
        return done.stdout
    if words[0] == "python" and words[1].startswith(("benchmarks/", "docs/")):
        _check_against_source(ROOT / words[1], words[2:])
    elif words[:3] == ["python", "-m", "pip"]:
        _check_install(words[3:])
    else:
        assert words[0] in CHECKS, f"{shlex.join(words[:3])}: the tests do not know how to run this"
        CHECKS[words[0]](words[1:])
    return ""


def _train(argv: list[str]) -> None:
    from mixcse.base.errors import UserError
    from mixcse.train import run as training

    argv = [*argv, *FEW_STEPS, *(FEW_STEPS_APART if ASKS_FOR_DEV_SCORES & {*argv} else [])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mixcse.train.ending.draw", lambda folder: None)  # tests/report/test_report.py draws
        if "--push_to_hub" in argv:
            with pytest.raises(UserError, match="(?i)offline|network"):
                training.main(argv)
        else:
            training.main(argv)


def _fetch(argv: list[str]) -> None:
    from mixcse.data import fetch

    with pytest.MonkeyPatch.context() as patch:  # tests/programs/test_fetch_and_example.py fetches
        for step in ("fetch_corpus", "fetch_senteval"):
            patch.setattr(fetch, step, lambda revision: Path("there"))
        fetch.main(argv)


def _reproduce(argv: list[str]) -> None:
    more = {"run": ["--dry_run", "--results_dir", "results/new"], "report": ["--results_dir", "results"]}
    _main_of("mixcse.reproduce.cli")([*argv, *more.get(argv[0], [])])


def _main_of(module: str) -> Callable[[list[str]], None]:
    return lambda argv: import_module(module).main(argv)


def _captured(main: Callable[[list[str]], None], argv: list[str], given: str) -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given.encode()), encoding="utf-8"))
        try:
            main(argv)
        except SystemExit as exit:
            assert not exit.code
    return out.buffer.getvalue().decode()


def _lines(block: str) -> Iterator[str]:
    """The commands of a block, a line each, but for a heredoc, whose lines stay together."""
    lines = iter(block.replace("\\\n", " ").splitlines())
    for line in lines:
        if heredoc := re.search(r"<<'(\w+)'", line):
            line = "\n".join([line, *takewhile(lambda other: other != heredoc[1], lines), heredoc[1]])
        if shlex.split(line.partition("\n")[0], comments=True):
            yield line.strip()


def _stages(line: str) -> list[tuple[list[str], str, str]]:
    """A pipeline's commands, each with the files that `<` and `>` name, if they do."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|<>;&()")
    lexer.whitespace_split = True
    stages: list[tuple[list[str], str, str]] = []
    words, source, target = [], "", ""
    for token in lexer:
        assert token not in {";", "&", "&&", "||", "(", ")"}, f"{line}: one command a line, please"
        if token in ("<", "<<"):
            source = next(lexer)
        elif token in (">", ">>"):
            target = next(lexer)
        elif token == "|":
            stages.append((words, source, target))
            words, source, target = [], "", ""
        else:
            words.append(token)
    return [*stages, (words, source, target)]


def _check_script(block: str) -> None:
    """A script for other machines: its syntax, and the options of what it launches."""
    done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    launched = [line for line in block.replace("\\\n", " ").splitlines() if "torchrun" in line]
    assert launched, "a script that launches nothing"
    for line in launched:
        words = shlex.split(line)
        _check_launch(words[words.index("torchrun") + 1 :])


def _check_launch(argv: list[str]) -> None:
    from torch.distributed.run import get_args_parser

    launch = get_args_parser().parse_args(argv)
    assert launch.training_script == "train.py"
    check_training_options(launch.training_script_args)


def check_training_options(argv: list[str]) -> None:
    """Raises UserError if train.py would refuse them."""
    from mixcse.train.parsing import parse_training_arguments

    parse_training_arguments(argv)


def _check_install(argv: list[str]) -> None:
    """The extras that are asked for are the project's, and other packages are ones that it names."""
    assert argv[0] == "install"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    known = {Requirement(line).name for lines in (project["dependencies"], *extras.values()) for line in lines}
    for word in argv[1:]:
        if word in ("-e", "--editable"):
            continue
        wanted = Requirement(re.sub(r"^\.", "mixcse", word))
        assert wanted.name in {"mixcse", *known}, f"pip install {word}: not a package of pyproject.toml"
        assert wanted.name != "mixcse" or wanted.extras <= set(extras), f"pip install {word}: no such extra"


def _check_bash(argv: list[str]) -> None:
    """`bash run_unsup_example.sh`, which other tests run: it is there, it parses, its options are right."""
    script, *options = argv
    assert subprocess.run(["bash", "-n", ROOT / script]).returncode == 0
    if script == "run_unsup_example.sh":
        from mixcse import example

        _, flags = example.parse_profile(options)
        check_training_options([*flags, "--output_dir", "x"])
    else:
        assert not options


def _check_against_source(script: Path, argv: list[str]) -> None:
    """Scripts that take minutes: their options are ones that their source adds."""
    known = re.findall(r'"(--[a-z_]+)"', script.read_text(encoding="utf-8"))
    unknown = [word for word in argv if word.startswith("--") and word not in known]
    assert not unknown, f"{script.name} has no {unknown[0]}"


def known_options() -> set[str]:
    """Every option of every program here, spelt in any way that is taken."""
    from torch.distributed.run import get_args_parser

    from mixcse.cli import COMMANDS
    from mixcse.train.parsing import RENAMED, StrictParser

    known = set(StrictParser()._option_string_actions)
    known |= {*get_args_parser()._option_string_actions, *RENAMED}
    known |= {"--profile", "--faithful_precision", "--version"}
    helps = [(name, "--help") for name in COMMANDS if name != "train"]
    helps += [("reproduce", part, "--help") for part in ("list", "run", "report")]
    for name, *argv in helps:
        known |= doc_pages.options(_captured(import_module(COMMANDS[name][0]).main, argv, ""))
    for script in (ROOT / "benchmarks").glob("*.py"):
        known |= set(re.findall(r'"(--[a-z_]+)"', script.read_text(encoding="utf-8")))
    return known | {name.replace("_", "-") for name in known}


PROGRAMS = {
    "python train.py": _train,
    "mixcse train": _train,
    "python evaluation.py": _main_of("mixcse.evaluate.command"),
    "mixcse evaluate": _main_of("mixcse.evaluate.command"),
    "mixcse encode": _main_of("mixcse.encoder.encode_command"),
    "mixcse search": _main_of("mixcse.encoder.search_command"),
    "python -m mixcse.fetch": _fetch,
    "mixcse fetch": _fetch,
    "python -m mixcse.reproduce": _reproduce,
    "mixcse reproduce": _reproduce,
}
CHECKS = {"pip": _check_install, "torchrun": _check_launch, "bash": _check_bash}
