"""Our encoder in ONNX Runtime and in OpenVINO, as `benchmarks/encode.py` compares them.

sentence-transformers reaches both through Optimum, which wants an older transformers than ours; so the
encoder is exported here, with pooling and what follows it in the graph, and each runtime gets the same file.
Sentences are sorted by length and cut into batches, as sentence-transformers does.
"""

import logging
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mixcse.data.batch import pad_rows
from mixcse.encoder.batches import tokenised
from mixcse.encoder.sentence_encoder import SentenceEncoder
from mixcse.model.pooling import pool

EXPORTER = ("onnx", "onnxscript")
NAMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}

Run = Callable[[dict[str, np.ndarray]], np.ndarray]  # a batch's tokens -> its embeddings
Sized = Callable[[list[str], int], np.ndarray]  # sentences and a batch size -> their embeddings


def runtimes(encoder: SentenceEncoder, folder: Path, threads: int) -> dict[str, Sized]:
    """Each runtime that is installed, by name; says which packages are missing.

    Args:
        folder: for the exported file.
    """
    missing = [package for package in (*EXPORTER, *NAMES) if find_spec(package) is None]
    if missing:
        print(f"left out, for want of packages: pip install {' '.join(missing)}")
    if any(package in missing for package in EXPORTER):
        return {}
    starts = {"onnxruntime": _onnxruntime, "openvino": _openvino}
    there = [package for package in starts if package not in missing]
    path = exported(encoder, folder / "encoder.onnx") if there else folder
    return {NAMES[package]: _encoding(encoder, starts[package](path, threads)) for package in there}


class _Whole(nn.Module):
    """Tokens to embeddings: the encoder, the pooling, and what the folder has after it."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        super().__init__()
        self.encoder, self.following, self.pooler = encoder.model.encoder, encoder.model.following, encoder.pooler

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        outputs = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        return self.following(pool(self.pooler, outputs, attention_mask))


def exported(encoder: SentenceEncoder, path: Path) -> Path:
    """The encoder as an ONNX file, for batches of any size and length."""
    tokens = torch.full((3, 17), 7), torch.ones(3, 17, dtype=torch.long)
    tokens[1][1, 9:] = 0
    shape = {0: "batch", 1: "length"}
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # it prints its progress
            torch.onnx.export(
                _Whole(encoder).eval(),
                tokens,
                str(path),
                input_names=["input_ids", "attention_mask"],
                output_names=["sentence_embedding"],
                dynamic_shapes=(shape, shape),
                dynamo=True,
            )
    finally:
        logging.disable(logging.NOTSET)
    return path


def _onnxruntime(path: Path, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, batch)[0]


def _openvino(path: Path, threads: int) -> Run:
    import openvino

    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(openvino.convert_model(path), "CPU", options)
    return lambda batch: compiled(batch)[0].copy()  # what it gives is overwritten by the next batch


def _encoding(encoder: SentenceEncoder, run: Run) -> Sized:
    tokenizer = encoder.model.tokenizer

    def encode(sentences: list[str], batch_size: int) -> np.ndarray:
        rows = list(tokenised(tokenizer, sentences, encoder.max_seq_length))  # longest first
        embeddings = np.empty((len(rows), encoder.dim), np.float32)
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            batch = pad_rows(tokenizer, [row.ids for row in part])
            embeddings[[row.position for row in part]] = run({name: ids.numpy() for name, ids in batch.items()})
        return embeddings

    return encode
