"""`--gpu_recipe`: what makes the recipe short on a GPU, at the price of float32's last digits.

bf16 autocast (the loss stays in float32), batches of one shape, and, where the run is long
enough to pay for compiling, the encoder's passes as CUDA graphs, without which a small
model waits for its kernels to be launched.  Fused AdamW, SDPA, pinned memory and steps
without host synchronisation are there with and without it: they change no result.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerState

from mixcse.base.console import say, warn
from mixcse.base.errors import UserError, first_line
from mixcse.base.rng import preserved_rng

if TYPE_CHECKING:
    from mixcse.train.arguments import TrainArguments
    from mixcse.train.trainer import MixCSETrainer

# Compiling is taken to cost a minute and to gain 5 ms a step, until benchmarks/gpu_recipe.py,
# which measures both, has been run.
COMPILE_FROM_STEPS = 12_000
EVAL_BATCH_SIZE = 512
LOADER_WORKERS = 2
WARM_UP = 3  # passes before CUDA graphs are recorded


def supported(use_cpu: bool = False) -> bool:
    """Whether there is a GPU with bfloat16 (and it is to be used)."""
    return not use_cpu and torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def apply_gpu_recipe(args: "TrainArguments") -> None:
    """Sets the training options that the recipe consists of; it pads to `max_seq_length`, too.

    Raises:
        UserError: the device has no bfloat16, or what is asked for does not go with it.
    """
    if not supported(args.use_cpu):
        raise UserError("--gpu_recipe needs a CUDA GPU with bfloat16, and there is none to be used; leave it out")
    if args.fp16:
        raise UserError("--gpu_recipe computes in bfloat16; leave out --fp16")
    if args.padding in ("none", "chunks"):
        raise UserError(f"--gpu_recipe pads every batch to one shape; leave out --padding {args.padding}")
    args.bf16 = True
    args.per_device_eval_batch_size = max(args.per_device_eval_batch_size, EVAL_BATCH_SIZE)
    args.dataloader_num_workers = args.dataloader_num_workers or LOADER_WORKERS
    args.dataloader_persistent_workers = True


def autocast(args: "TrainArguments") -> torch.autocast | nullcontext:
    """The precision of the recipe's forward passes outside a training step."""
    return torch.autocast(args.device.type, dtype=torch.bfloat16) if args.gpu_recipe else nullcontext()


def compile_pays(args: "TrainArguments", steps: int) -> bool:
    """Whether a run of this many steps is long enough, and of a kind that CUDA graphs allow."""
    # A graph's gradients lie where its next run puts the next ones: they cannot be accumulated.
    one_at_a_time = args.gradient_accumulation_steps == 1 and args.world_size == 1
    return one_at_a_time and args.embedding_chunk_size is None and steps >= COMPILE_FROM_STEPS


class CompiledEmbedding:
    """A function of `(input_ids, attention_mask)`, compiled for one shape; others it computes as ever.

    Args:
        embed: (rows, length) twice -> (rows, d), differentiable.
        shape: (rows, length).
        options: of `torch.compile`.
    """

    def __init__(self, embed: Callable[[Tensor, Tensor], Tensor], shape: tuple[int, int], **options: str) -> None:
        self._embed = embed
        self._shape = shape
        self._compiled = torch.compile(embed, dynamic=False, **(options or {"mode": "reduce-overhead"}))
        self.usable = False

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        # Without gradients it would be compiled once more.
        if not self.usable or not torch.is_grad_enabled() or tuple(input_ids.shape) != self._shape:
            return self._embed(input_ids, attention_mask)
        torch.compiler.cudagraph_mark_step_begin()
        return self._compiled(input_ids, attention_mask)

    def warm_up(self, model: nn.Module, device: torch.device, precision: torch.autocast | nullcontext) -> float | None:
        """Compiles both passes; from now on they are used, unless that fails, which is said.

        Random generators are as they were; the model has no gradients afterwards.

        Args:
            model: whose parameters the function uses.

        Returns:
            Seconds, or None if it failed.
        """
        start = time.perf_counter()
        ids, mask = (torch.ones(self._shape, dtype=torch.long, device=device) for _ in range(2))
        self.usable = True
        try:
            with preserved_rng():
                for _ in range(WARM_UP):
                    with precision:
                        z = self(ids, mask)
                    z.float().sum().backward()
                    model.zero_grad(set_to_none=True)  # they lie where the graph's next run puts its own
        except Exception as error:  # compilers fail in many ways, and the uncompiled function is at hand
            self.usable = False
            warn(f"the encoder could not be compiled and runs as it is ({type(error).__name__}: {first_line(error)})")
            return None
        seconds = time.perf_counter() - start
        say(f"compiled the encoder's passes for batches of {self._shape[0]} x {self._shape[1]} in {seconds:.0f} s")
        return seconds


class CompileWhereItPays(TrainerCallback):
    """Before the first step."""

    def __init__(self, trainer: "MixCSETrainer") -> None:
        self.trainer = trainer

    def on_train_begin(self, args: "TrainArguments", state: TrainerState, *_: Any, **__: Any) -> None:
        if not compile_pays(args, state.max_steps - state.global_step):
            return
        model, collator = self.trainer.model, self.trainer.data_collator
        views = max(2, len(self.trainer.train_dataset[0]["input_ids"]))
        shape = (views * args.per_device_train_batch_size, collator.pad_to)
        model.compiled = CompiledEmbedding(model.embed_for_training, shape)
        model.train()
        model.compiled.warm_up(model, args.device, autocast(args))
