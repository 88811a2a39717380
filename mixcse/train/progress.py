"""What a training run shows while it runs."""

import math
import sys
from typing import Any

from transformers.trainer_callback import ProgressCallback

LABELS = {  # log name -> label, factor, format
    "loss": ("loss", 1, ".4f"),
    "positive_similarity": ("pos", 1, ".3f"),
    "negative_similarity": ("neg", 1, ".3f"),
    "mixed_similarity": ("mixed", 1, ".3f"),
    "eval_stsb_spearman": ("STS-B dev", 100, ".2f"),
    "eval_sickr_spearman": ("SICK-R dev", 100, ".2f"),
    "eval_dev_spearman": ("own dev", 100, ".2f"),
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


class ReadableProgress(ProgressCallback):
    """Transformers' progress bar with log lines for people; off a terminal, the lines alone."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if sys.stderr.isatty():
            super().on_train_begin(args, state, control, **kwargs)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.training_bar is not None:
            super().on_step_end(args, state, control, **kwargs)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.training_bar is not None:
            super().on_train_end(args, state, control, **kwargs)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        parts = [
            f"{label} {logs[name] * scale:{form}}"
            for name, (label, scale, form) in LABELS.items()
            if name in logs and math.isfinite(logs[name])
        ]
        if not parts or not state.is_world_process_zero:
            return
        line = f"step {state.global_step}/{state.max_steps}  " + "  ".join(parts)
        if self.training_bar is not None:
            self.training_bar.write(line, file=sys.stderr)
        else:
            sys.stderr.write(line + "\n")
