"""What users see stays: help texts, public names with their signatures, and the keys of the JSON files.

Where one of them is meant to change, `python tests/test_frozen.py` writes `golden/surface.json` anew: its diff is the
change that users will see.
"""

import dataclasses
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainingArguments

import mixcse
import mixcse.sentence_transformers as losses
import senteval
from mixcse import SentenceEncoder, cli

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden" / "surface.json"
ANEW = "MIXCSE_WRITE_SURFACE"  # in the environment: write it, compare nothing
NAMES = ("", " train", " evaluate", " encode", " search", " fetch", " reproduce")
PARTS = ("", " list", " run", " report")
COMMANDS = ["train.py", "evaluation.py", "mixcse.fetch", "mixcse.example", *(f"mixcse{name}" for name in NAMES)]
COMMANDS += [f"{program}{part}" for program in ("mixcse reproduce", "mixcse.reproduce") for part in PARTS]
# Shows the help of all in one process; each is run as its script or module.
SHOW = """
import contextlib, io, json, runpy, sys
shown = {}
for command in sys.argv[1:]:
    program, *words = command.split()
    sys.argv[1:] = [*words, "--help"]
    run = runpy.run_path if program.endswith(".py") else runpy.run_module
    with contextlib.redirect_stdout(io.StringIO()) as stdout, contextlib.suppress(SystemExit):
        run(program, run_name="__main__")
    shown[command] = stdout.getvalue()
print(json.dumps(shown))
"""


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def check(name: str, found: dict[str, Any]) -> None:
    """Fails with the places that differ from the golden's; or writes them there."""
    golden = read(GOLDEN) if GOLDEN.exists() else {}
    if ANEW in os.environ:
        text = json.dumps(golden | {name: found}, indent=1, sort_keys=True, ensure_ascii=False)
        GOLDEN.write_text(text + "\n", encoding="utf-8")
        return
    differing = list(differences(golden[name], json.loads(json.dumps(found))))
    said = "\n".join(f"{where}:\n  was {old}\n  now {new}" for where, old, new in differing)
    assert not differing, f"{said}\nIf that is meant: python tests/test_frozen.py, and look at the diff"


def differences(old: Any, new: Any, where: str = ""):
    """(place, what was there, what is there) for each."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from differences(old.get(key, "nothing"), new.get(key, "nothing"), f"{where}/{key}")
    elif isinstance(old, list) and isinstance(new, list) and old != new:
        yield where, [one for one in old if one not in new], [one for one in new if one not in old] or "another order"
    elif old != new:
        yield where, old, new


def shape(value: Any) -> Any:
    """The keys, with the types of what they lead to; a list is its different members."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        shapes = {json.dumps(shape(one), sort_keys=True): shape(one) for one in value}
        return [shapes[key] for key in sorted(shapes)]
    return type(value).__name__


def described(thing: Any) -> Any:
    """A signature, or those of the public members; types are named without the module they lie in."""
    if inspect.isclass(thing) or inspect.ismodule(thing):
        if inspect.isclass(thing):
            members = {
                name: one for kind in reversed(thing.__mro__) if is_ours(kind) for name, one in vars(kind).items()
            }
        else:
            members = {name: one for name, one in vars(thing).items() if is_ours(one, thing.__name__)}
        shown = {name: one for name, one in members.items() if name == "__init__" or not name.startswith("_")}
        return {name: described(getattr(one, "__func__", one)) for name, one in shown.items()}
    if callable(thing):
        return re.sub(r"\b(?:\w+\.)+(?=[A-Za-z_])| at 0x\w+", "", str(inspect.signature(thing)))
    return type(thing).__name__


def is_ours(thing: Any, *packages: str) -> bool:
    """Whether it is defined in one of the packages."""
    home = f"{getattr(thing, '__module__', None)}."
    return any(home.startswith(f"{name}.") for name in packages or ("mixcse", "senteval"))


def test_help():
    """Wide, so that no line is broken; and as Python 3.13 has it, which shows a value once for all spellings."""
    path = os.pathsep.join((str(ROOT), str(ROOT / "SentEval")))
    env = os.environ | {"PYTHONPATH": path, "COLUMNS": "9999", "NO_COLOR": "1"}
    done = subprocess.run([sys.executable, "-c", SHOW, *COMMANDS], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {}
    for command, text in json.loads(done.stdout).items():
        text = re.sub(r"\n {24}(?=\S)", " ", text)  # an option and what it is for on one line
        text = re.sub(r"(--?\w+) (?:[A-Z_]+|\{\S+\})(?=, -)", r"\1", text)
        found[command] = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    check("help", found)


def test_names_and_signatures():
    found = {home.__name__: {name: getattr(home, name) for name in home.__all__} for home in (mixcse, senteval)}
    public = {name: one for name, one in vars(losses).items() if not name.startswith("_")}
    found[losses.__name__] = {name: one for name, one in public.items() if is_ours(one, losses.__name__)}
    check("signatures", {home: {name: described(one) for name, one in names.items()} for home, names in found.items()})


@pytest.mark.usefixtures("undrawn")
def test_keys_of_json_files(command, toy_senteval, tmp_path, tiny_bert):
    """Of arguments.json, config.json and trainer_state.json ours alone: transformers' change with its version."""
    out, index, scores = tmp_path / "out", tmp_path / "index", tmp_path / "scores.json"
    cli.main(["train", *command])
    flags = ["--model_name_or_path", str(out), "--senteval_data", str(toy_senteval), "--output_json", str(scores)]
    cli.main(["evaluate", *flags, "--tasks", "STSBenchmark", "SICKRelatedness", "--mode", "dev"])
    SentenceEncoder(out).build_index(["a cat", "two dogs"]).save(index)
    files = {f"{name}.json": out / f"{name}.json" for name in ("train_results", "eval_results", "cosines", "modules")}
    files |= {"scores.json": scores, "index.json": index / "index.json", "1_Pooling": out / "1_Pooling" / "config.json"}
    files["checksums.json"] = out / "checkpoint-6" / "checksums.json"
    found = {name: shape(read(path)) for name, path in files.items()}
    found["log_history"] = shape(read(out / "trainer_state.json")["log_history"])
    found["config.json"] = sorted(read(out / "config.json").keys() - read(tiny_bert / "config.json").keys())
    theirs = {field.name for field in dataclasses.fields(TrainingArguments)}
    options = shape(read(out / "arguments.json"))
    found["arguments.json"] = {name: kind for name, kind in options.items() if name not in theirs}
    check("keys", found)


if __name__ == "__main__":
    os.environ[ANEW] = "yes"
    sys.exit(pytest.main([__file__, "-p", "no:xdist"]))
