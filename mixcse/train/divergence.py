"""A loss that is no number: found at the step that gave it, before it is in a checkpoint."""

from pathlib import Path

import torch
from torch import Tensor, nn

from mixcse.base.errors import UserError
from mixcse.model.sentence_model import SentenceModel
from mixcse.train.checkpoints import complete_checkpoints

ADVICE = "the training diverged: lower --learning_rate, or raise --temperature"
READ_AT_LEAST_EVERY = 128  # losses on a device, of which reading one would hold up its work
SHOWN = 60  # characters of a sentence


class LossWatch:
    """The losses that have not been read yet: none on a CPU; on a GPU those of the steps since the last report."""

    def __init__(self, model: SentenceModel, output_dir: str | Path) -> None:
        self._model, self._output_dir = model, output_dir
        self._unread: list[tuple[int, Tensor, Tensor]] = []

    def note(self, step: int, loss: Tensor, input_ids: Tensor) -> None:
        """Takes the loss of a step, and reads it if that costs nothing.

        Args:
            loss: a scalar.
            input_ids: (batch, num_sent, length), of that step.

        Raises:
            UserError: as `read`.
        """
        self._unread.append((step, loss.detach(), input_ids[0, 0]))
        if loss.device.type == "cpu" or len(self._unread) >= READ_AT_LEAST_EVERY:
            self.read()

    def read(self) -> None:
        """Raises UserError, which names step and batch, if a loss that is unread is NaN or infinite."""
        unread, self._unread = self._unread, []
        if not unread or all(finite := torch.stack([loss for _, loss, _ in unread]).isfinite().tolist()):
            return
        step, loss, row = unread[finite.index(False)]
        first = self._model.tokenizer.decode(row.tolist(), skip_special_tokens=True)[:SHOWN]
        weights = "" if is_finite(self._model) else ", and weights are not finite"
        batch = f"the batch that begins with {first!r}"
        raise diverged(f"step {step}: the loss of {batch} is {loss.item()}{weights}", self._output_dir)


def is_finite(model: nn.Module) -> bool:
    """Whether all weights are numbers."""
    return all(bool(parameter.isfinite().all()) for parameter in model.parameters())


def diverged(what: str, output_dir: str | Path) -> UserError:
    """An error for what shows that a training diverged; it names the last good checkpoint, and how to go on from it."""
    if not (good := list(complete_checkpoints(Path(output_dir)).values())):
        return UserError(f"{what}; {ADVICE}; there is no checkpoint yet")
    return UserError(
        f"{what}; {ADVICE}; {good[-1]} is the last good checkpoint, from which to train on so, into another folder: "
        f"--model_name_or_path {good[-1]}"
    )
