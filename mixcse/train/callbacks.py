"""What happens beside the steps: the folder is taken over, a line is shown, a signal is heard."""

import math
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_callback import ProgressCallback

from mixcse.base.errors import Terminated
from mixcse.base.group import sum_over_processes, wait_for_all, world_size
from mixcse.names import DEV_SETS
from mixcse.train.arguments import TrainArguments
from mixcse.train.checkpoints import PREFIX, prune, write_checksums
from mixcse.train.folder import RunFolder

STEPS_UNHEARD = 10  # GPUs that work together ask each other this often; asking waits for them
LABELS = {  # log name -> label, factor, format
    "loss": ("loss", 1, ".4f"),
    "positive_similarity": ("pos", 1, ".3f"),
    "negative_similarity": ("neg", 1, ".3f"),
    "mixed_similarity": ("mixed", 1, ".3f"),
    **{f"eval_{metric}": (f"{data} dev", 100, ".2f") for metric, data in DEV_SETS.items()},
    "eval_held_out_loss": ("held-out loss", 1, ".4f"),
    "eval_avg_transfer": ("transfer dev", 1, ".2f"),
    "eval_alignment": ("alignment", 1, ".3f"),
    "eval_uniformity": ("uniformity", 1, ".3f"),
}


def shown(metric: str, value: float) -> str:
    """A dev score as the lines of its steps show it; `metric` without `eval_`."""
    unlabelled = ("", 100 if metric == "avg_sts" else 1, ".2f")
    _, scale, form = LABELS.get(f"eval_{metric}", unlabelled)
    return f"{value * scale:{form}}"


class LogLines(TrainerCallback):
    """A line for people of what is logged, above the bar where there is one."""

    def on_log(
        self, args: TrainArguments, state: TrainerState, *_: Any, logs: dict[str, float] | None = None, **__: Any
    ) -> None:
        parts = [
            f"{label} {logs[name] * scale:{form}}"
            for name, (label, scale, form) in LABELS.items()
            if name in logs and math.isfinite(logs[name])
        ]
        if parts and state.is_world_process_zero:
            tqdm.write(f"step {state.global_step}/{state.max_steps}  {'  '.join(parts)}", file=sys.stderr)


class Bar(ProgressCallback):
    """Transformers' progress bar, for a terminal."""

    def on_log(self, *_: Any, **__: Any) -> None:
        """Nothing: `LogLines` does."""


class AddChecksums(TrainerCallback):
    """Add checksums to each checkpoint once it is complete, then prune older checkpoints.

    Args:
        limit: how many of the newest checkpoints are kept, besides the best one; None or 0: all.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit

    def on_train_begin(self, args: TrainArguments, state: TrainerState, *_: Any, **__: Any) -> None:
        if args.should_save:  # a run that was killed before it did may have no more checkpoint to write
            self._prune(args, state)

    def on_save(self, args: TrainArguments, state: TrainerState, *_: Any, **__: Any) -> None:
        wait_for_all()  # each process writes its random state
        if args.should_save:
            write_checksums(Path(args.output_dir) / f"{PREFIX}{state.global_step}")
            self._prune(args, state)
        wait_for_all()

    def _prune(self, args: TrainArguments, state: TrainerState) -> None:
        best = state.best_model_checkpoint
        prune(Path(args.output_dir), self.limit, best and Path(best))


class TakeFolder(TrainerCallback):
    """Takes the output folder over once model, data and options have all been accepted.

    Args:
        folder: locked.
        checkpoint: where the run continues from, if it does.
    """

    def __init__(self, folder: RunFolder, checkpoint: Path | None) -> None:
        self.folder, self.checkpoint, self.done = folder, checkpoint, False

    def on_train_begin(self, args: TrainArguments, state: TrainerState, *_: Any, **__: Any) -> None:
        if args.should_save:
            self.folder.begin(self.checkpoint, afresh=args.overwrite_output_dir)
        best = state.best_model_checkpoint and self.folder.path / Path(state.best_model_checkpoint).name
        state.best_model_checkpoint = best and str(best)  # the folder may have been called otherwise
        if args.world_size > 1:
            torch.manual_seed(args.seed + args.process_index)  # each has dropout masks of its own
        self.done = True


class StopOnSignal(TrainerCallback):
    """While a model is trained, the first signal asks for a checkpoint and an end, and a second one ends at once.

    Raises:
        KeyboardInterrupt: (`Terminated` after SIGTERM) in `train`, once the checkpoint is written.
    """

    def __init__(self) -> None:
        self._asked: int | None = None
        self._stopping = False
        self._before: dict[int, Any] = {}
        self._process = os.getpid()

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # signals are none of its business
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not None:  # else it is one of C's, which Python cannot put back
                self._before[number] = signal.signal(number, self._ask)

    def on_step_end(
        self, args: TrainArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self._stopping = self._stopping or self._heard_by_any(args, state)
        control.should_save = control.should_save or self._stopping
        return control

    def on_save(self, args: TrainArguments, state: TrainerState, *_: Any, **__: Any) -> None:
        if self._stopping:
            kind = Terminated if self._asked == signal.SIGTERM else KeyboardInterrupt
            saved = f"step {state.global_step} is saved in {args.output_dir}"
            raise kind(f"stopped; {saved}: the same command goes on from there")

    def restore(self) -> None:
        """Signals do again what they did before the training."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _ask(self, number: int, _: FrameType | None) -> None:
        if os.getpid() != self._process:  # a worker that loads data, and does until it is told to end
            return
        if self._asked is not None:
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        self._asked = number
        if os.environ.get("RANK", "0") == "0":  # not by `say`: a write to stderr may be interrupted here
            os.write(2, b"\nstopping at the end of this step, with a checkpoint (once more: at once)\n")

    def _heard_by_any(self, args: TrainArguments, state: TrainerState) -> bool:
        """All processes have to save at the same step."""
        if world_size() == 1:
            return self._asked is not None
        if args.device.type != "cpu" and state.global_step % STEPS_UNHEARD:
            return False
        number = int(sum_over_processes(torch.tensor([float(self._asked or 0)], device=args.device)).item())
        if number and self._asked is None:
            self._asked = signal.SIGTERM
        return bool(number)
