"""What `run_unsup_example.sh` runs once the environment stands: one of the two profiles."""

import sys

from mixcse.base.console import quiet_libraries, say
from mixcse.base.errors import UserError
from mixcse.base.program import run_cli
from mixcse.train.help import HELP_ALL, answer_help

PROFILES = ("paper", "demo")
FAITHFUL = "--faithful_precision"
USAGE = (
    "bash run_unsup_example.sh [--profile paper|demo] [--faithful_precision] [options of train.py, which follow]\n\n"
    "--faithful_precision: the paper profile stays in float32 where the GPU would allow --gpu_recipe\n\n"
)


def main(argv: list[str]) -> None:
    """Chooses a profile, says why and what follows, and runs it."""
    faithful = FAITHFUL in argv
    chosen, flags = _split_profile([flag for flag in argv if flag != FAITHFUL])
    answer_help(flags, USAGE)
    import torch  # takes seconds, for which help and a wrong profile do not wait

    from mixcse import profiles

    if {*HELP_ALL} & {*flags}:
        profiles.parse_training_arguments(flags)
    gpu = torch.cuda.is_available()
    profile = chosen or ("paper" if gpu else "demo")
    why = "as asked" if chosen else "a CUDA GPU is here" if gpu else "no CUDA GPU is here"
    say(f"profile: {profile} ({why}; --profile {' or '.join(PROFILES)} decides otherwise)")
    quiet_libraries()
    if profile == "paper":
        profiles.run_paper(flags, gpu, faithful_precision=faithful)
    else:
        profiles.run_demo(flags)


def _split_profile(argv: list[str]) -> tuple[str | None, list[str]]:
    """Takes `--profile X` (or `--profile=X`) out of the arguments."""
    flags, chosen = [], None
    rest = iter(argv)
    for flag in rest:
        if flag == "--profile" or flag.startswith("--profile="):
            chosen = flag.partition("=")[2] or next(rest, "")
            if chosen not in PROFILES:
                raise UserError(f"--profile {chosen or '(nothing)'}: expected {' or '.join(PROFILES)}")
        else:
            flags.append(flag)
    return chosen, flags


if __name__ == "__main__":
    sys.exit(run_cli(main))
