"""`--gpu_recipe`: what makes the recipe short on a GPU, at the price of float32's last digits.

bf16 autocast (the loss stays in float32), batches of one shape, and, where the run is long
enough to pay for compiling, the Trainer's `torch_compile` with CUDA graphs, without which a
small model waits for its kernels to be launched.  Fused AdamW, SDPA, pinned memory and steps
without host synchronisation are there with and without it: they change no result.
"""

from contextlib import nullcontext

import torch
from transformers import TrainingArguments

from mixcse.base.errors import UserError

# Compiling took 30 s on an H200 and gained 20 ms a step (benchmarks/README.md).
COMPILE_FROM_STEPS = 2_000
EVAL_BATCH_SIZE = 512
LOADER_WORKERS = 2


def supported(use_cpu: bool = False) -> bool:
    """Whether there is a GPU with bfloat16 (and it is to be used)."""
    return not use_cpu and torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def apply_gpu_recipe(args: TrainingArguments) -> None:
    """Sets the training options that the recipe consists of; it pads to `max_seq_length`, too.

    Args:
        args: the `TrainArguments` with `gpu_recipe`.

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
    args.dataloader_drop_last = True  # an incomplete batch has another shape


def autocast(args: TrainingArguments) -> torch.autocast | nullcontext:
    """The precision of the recipe's forward passes outside a training step."""
    return torch.autocast(args.device.type, dtype=torch.bfloat16) if args.gpu_recipe else nullcontext()


def compile_where_it_pays(args: TrainingArguments, examples: int) -> None:
    """Turns the Trainer's `torch_compile` on, before there is a Trainer, if the run is long enough for it.

    It stays off where CUDA graphs are no help: their gradients lie where the next run puts its
    own, so that they cannot be accumulated.  What does not compile runs as it is.

    Args:
        args: those of a run with `gpu_recipe`.
        examples: how many it is trained on.
    """
    steps = args.max_steps if args.max_steps > 0 else args.num_train_epochs * examples / args.train_batch_size
    one_at_a_time = args.gradient_accumulation_steps == 1 and args.world_size == 1 and args.embedding_chunk_size is None
    if one_at_a_time and steps >= COMPILE_FROM_STEPS:
        torch._dynamo.config.suppress_errors = True
        args.torch_compile = True
        args.torch_compile_backend, args.torch_compile_mode = "inductor", "reduce-overhead"
