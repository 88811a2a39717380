"""`mixcse reproduce`."""

from bad_input.case import Case, file

RUN = (
    *("reproduce", "run", "main", "--scale", "demo", "--model_name_or_path", "{model}"),
    *("--train_file", "{folder}/good.txt", "--senteval_data", "{folder}/none"),
    *("--results_dir", "{folder}/results", "--work_dir", "{folder}/work"),
)


def _wrong(words: str, *says: str, name: str | None = None, make=None) -> Case:
    return Case(name or words, (*RUN, *words.split()), says, make=make)


def _bare(words: str, *says: str) -> Case:
    return Case(words or "no words", ("reproduce", *words.split()), says)


CASES = [
    _bare("", "the following arguments are required: command"),
    _bare("nothing", "invalid choice: 'nothing' (choose from"),
    _bare("list extra", "unexpected argument 'extra'"),
    _bare("list --scale demo", "unexpected argument '--scale'"),
    _bare("run", "the following arguments are required: NAME"),
    _bare("run nothing", "no experiment 'nothing'; there are main, transfer"),
    _bare("run gain_longer --scale paper", "gain_longer: nothing of it is run at --scale paper"),
    _bare("run lambda --scale demo --lambdas 0.3", "--mixing_lambda: lambda varies it; leave it out"),
    _bare("report --results_dir {folder}/none", "none: no such folder; make records"),
    _wrong("--scale huge", "argument --scale: invalid choice: 'huge'"),
    _wrong("--seeds first", "--seeds: invalid int value: 'first'"),
    _wrong("--seeds -1", "--seed must lie in 0 to 4294967295, not -1"),
    _wrong("--seed 1", "--seed is decided by the plan of runs, see --seeds"),
    _wrong("--output_dir x", "--output_dir is decided by the plan of runs"),
    _wrong("--shard 3", "--shard 3: expected I/N with I from 1 to N, such as 2/4"),
    _wrong("--shard 3/2", "--shard 3/2: expected I/N"),
    _wrong("--temprature 1", "unknown option --temprature; did you mean --temperature?"),
    _wrong("--temperature 0", "--temperature must be"),
    _wrong("--train_file {folder}/good.txt {folder}/good.csv", "all runs of a plan are trained on one file"),
    _wrong("--dataset_name x", "--dataset_name: all runs of a plan are trained on one file"),
    _wrong("--train_file {folder}/none.txt", "none.txt is not there: get it with"),
    _wrong("--train_file {folder}", "{folder}: not a file"),
    _wrong("--train_file {folder}/a.txt", "a.txt: the file is empty", name="an empty file", make=file("a.txt", "")),
    _wrong("--validation_file {folder}/none.csv", "--validation_file {folder}/none.csv: no such file"),
    _wrong("--results_dir {folder}/good.txt", "--results_dir {folder}/good.txt: ", "good.txt is a file, no folder"),
    _wrong(
        "--work_dir {folder}/good.txt/work", "--work_dir {folder}/good.txt/work: {folder}/good.txt is a file, no folder"
    ),
    Case("a model without a name", (*RUN, "--model_name_or_path", ""), ("--model_name_or_path is empty",)),
]
