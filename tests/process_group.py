"""What the processes of test_distributed.py compute, each on its slice of a batch; alone, on the whole of it."""

import os
import shutil
import signal
from unittest.mock import patch

import datasets
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from transformers import TrainerCallback

from mixcse.base.errors import Terminated
from mixcse.base.group import from_main_process, gather_rows, leave, rank, sum_over_processes, world_size
from mixcse.model.chunking import Chunking
from mixcse.model.masked_lm import IGNORED
from mixcse.model.sentence_model import SentenceModel
from mixcse.objective import logit_blocks, loss_of_logits
from mixcse.train import ending
from mixcse.train import run as training
from mixcse.train.signals import Signals

BATCH = 12  # for 2 and for 3 processes
OBJECTIVES = {
    f"{variant}-{views}-{mix_with}-{num_sent}-{'constant' if stop_gradient else 'flowing'}": {
        "variant": variant, "mixed_views": views, "mix_with": mix_with,
        "stop_gradient": stop_gradient, "num_sent": num_sent,
        "hard_negative_weight": 0.7, "temperature": 0.2, "mixing_lambda": 0.3,
    }
    for variant in ("released", "adaptive", "paper", "simcse")
    for views in (("both", "second", "first") if variant in ("released", "adaptive") else ("both",))
    for mix_with in (("next", "hardest") if variant != "simcse" else ("next",))
    for num_sent in (2, 3)
    for stop_gradient in (True, False)
}  # fmt: skip
OBJECTIVES["controls"] = OBJECTIVES["released-both-next-2-constant"] | {
    "negative_weight": 3.0, "detached_negatives": 0.5
}  # fmt: skip
OBJECTIVES |= {
    f"{name}-hardest": objective | {"mix_with": "hardest"}
    for name, objective in OBJECTIVES.items()
    if objective["variant"] != "simcse" and objective["mixed_views"] == "both" and objective["num_sent"] == 2
}


def own_slice():
    each = BATCH // world_size()
    return slice(each * rank(), each * (rank() + 1))


def encoder():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 6), nn.Tanh()).double()


def inputs(num_sent, seed=1):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(BATCH, num_sent, 5, generator=draw, dtype=torch.float64)[own_slice()]


def gather_as_constants(z):
    """The mistake to catch: the others' rows bring no gradient home."""
    rows = gather_rows(z.detach())
    return torch.cat([rows[0][: rows[1].start], z, rows[0][rows[1].stop :]]), rows[1]


def loss_and_gradients(objective, gather=gather_rows):
    num_sent, objective = objective["num_sent"], {k: v for k, v in objective.items() if k != "num_sent"}
    module = encoder()
    z, rows = gather(module(inputs(num_sent)))
    loss = loss_of_logits(torch.cat(list(logit_blocks(z, rows=rows, **objective).values()), dim=1), rows)
    loss.backward()
    return {"loss": loss.detach()} | {name: p.grad for name, p in module.named_parameters()}


def signals(objective):
    """Means over two steps."""
    num_sent, objective = objective["num_sent"], {k: v for k, v in objective.items() if k != "num_sent"}
    seen, module = Signals(), encoder()
    for step in (1, 2):
        own = module(inputs(num_sent, seed=step))
        z, rows = gather_rows(own)
        blocks = logit_blocks(z, rows=rows, **objective)
        loss = loss_of_logits(torch.cat(list(blocks.values()), dim=1), rows)
        seen.observe(blocks, rows, **objective)
        seen.watch_gradient(own, loss)
        (loss * 3).backward()
    return seen.means()


def training_step(folder, rows_at_a_time=None):
    """Of a whole model with the masked-LM loss, under DistributedDataParallel where there are several."""
    model = SentenceModel.from_pretrained(folder)
    torch.manual_seed(0)
    model.prepare_training("cls", mlm_from=folder)  # a fresh head, the same everywhere
    model.double().train()
    model.chunking = Chunking(rows=rows_at_a_time)
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 40, (BATCH, 2, 9), generator=draw)
    mask = (torch.arange(9) < torch.randint(3, 10, (BATCH, 2, 1), generator=draw)).long()
    few_at_first = torch.linspace(0.1, 0.9, BATCH)[:, None, None]  # masked words are not evenly spread
    masked = (torch.rand(ids.shape, generator=draw) < few_at_first) & (mask > 0)
    batch = {
        "input_ids": ids, "attention_mask": mask,
        "mlm_input_ids": ids.masked_fill(masked, 4), "mlm_labels": ids.masked_fill(~masked, IGNORED),
    }  # fmt: skip
    wrapped = DistributedDataParallel(model, find_unused_parameters=False) if world_size() > 1 else model
    outputs = wrapped(**{name: tensor[own_slice()] for name, tensor in batch.items()})
    z, rows = gather_rows(outputs["embeddings"])
    loss = loss_of_logits(torch.cat(list(logit_blocks(z, rows=rows).values()), dim=1), rows) + outputs["mlm_loss"]
    loss.backward()
    losses = {"loss": loss.detach(), "mlm_loss": outputs["mlm_loss"].detach()}
    return losses | {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


class Embedder(nn.Module):
    """A model by sentence-transformers' conventions."""

    def __init__(self):
        super().__init__()
        self.words, self.dense = nn.Embedding(40, 6), nn.Linear(6, 6)

    def forward(self, features):
        mask = features["attention_mask"].unsqueeze(-1)
        hidden = torch.tanh(self.dense(self.words(features["input_ids"])))
        return {"sentence_embedding": (hidden * mask).sum(1) / mask.sum(1)}


def sentence_transformers_loss(columns, **cached):
    """Of a batch gathered from all processes, under DistributedDataParallel where there are several."""
    from mixcse.sentence_transformers import CachedMixedNegativesLoss, MixedNegativesLoss

    torch.manual_seed(0)
    model = Embedder().double()
    draw = torch.Generator().manual_seed(1)
    features = []
    for length in (9, 7, 8)[:columns]:
        ids = torch.randint(5, 40, (BATCH, length), generator=draw)
        mask = (torch.arange(length) < torch.randint(3, length + 1, (BATCH, 1), generator=draw)).long()
        features.append({"input_ids": ids[own_slice()], "attention_mask": mask[own_slice()]})
    wrapped = DistributedDataParallel(model) if world_size() > 1 else model
    kind = CachedMixedNegativesLoss if cached else MixedNegativesLoss
    loss = kind(wrapped, gather_across_devices=True, **cached)(features, None)
    loss.backward()
    return {"loss": loss.detach()} | {name: p.grad for name, p in model.named_parameters()}


def everything():
    """By name."""
    found = {name: loss_and_gradients(objective) for name, objective in OBJECTIVES.items()}
    return found | {f"signals-{name}": signals(objective) for name, objective in OBJECTIVES.items()}


def work(process, processes, folder, model_folder, command):
    """One of `processes`; it writes `<process>.pt` into the folder.

    Args:
        model_folder, command: those of two processes, which also train.
    """
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=process, world_size=processes)
    found = everything()
    found["constants"] = loss_and_gradients(OBJECTIVES["released-both-next-2-constant"], gather=gather_as_constants)
    found |= {"rank": rank(), "world_size": world_size(), "heard": from_main_process(f"from {process}")}
    found["sum"] = sum_over_processes(torch.tensor([process, 1])).tolist()
    if model_folder is not None:
        found["step"] = training_step(model_folder)
        found["step in chunks"] = training_step(model_folder, rows_at_a_time=5)
        for columns in (1, 2, 3):
            found[f"{columns} columns"] = sentence_transformers_loss(columns)
            found[f"{columns} columns, cached"] = sentence_transformers_loss(columns, mini_batch_size=5)
        prepare_to_train(process, processes, folder)
        with patch.object(SentenceModel, "save_pretrained", autospec=True, side_effect=SentenceModel.save_pretrained):
            found["said"] = stop_and_resume(command, folder / "out", folder / "whole")
            found["writes"] = SentenceModel.save_pretrained.called
    torch.save(found, folder / f"{process}.pt")
    leave()


def prepare_to_train(process, processes, folder):
    """As torchrun does; stderr goes to `<process>.txt`."""
    names = {"RANK": process, "LOCAL_RANK": process, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    os.environ.update({name: str(value) for name, value in names.items()})
    os.dup2(os.open(folder / f"{process}.txt", os.O_RDWR | os.O_CREAT), 2)
    datasets.config.HF_DATASETS_CACHE = folder / "cache"
    training.leave = ending.draw = lambda *args: None  # the group is needed again, and the page is not


class TerminatesTheSecond(TrainerCallback):
    """In the third step."""

    def on_step_begin(self, args, state, control, **_):
        if rank() == 1 and state.global_step == 2:
            os.kill(os.getpid(), signal.SIGTERM)


def stop_and_resume(command, out, whole):
    """Runs `command` undisturbed; then stops it, and runs it again; what the stopped one said."""
    training.main([*command, "--output_dir", str(whole)])
    command = [*command, "--output_dir", str(out)]
    try:
        training.main(command, callbacks=[TerminatesTheSecond()])
        said = "nothing"
    except Terminated as stopped:
        said = str(stopped)
    if rank() == 0:
        shutil.copytree(out / "checkpoint-3", out.with_name("checkpoint-3"))
    training.main(command)
    return said
