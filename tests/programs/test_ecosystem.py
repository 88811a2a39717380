"""One training run, used as people will: through three libraries and the command line, with the same numbers."""

import json

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer

from mixcse import SentenceEncoder, cli
from mixcse.train import run as training

SENTENCES = ["the cat sat on the mat", "a dog ran", "", "the teacher saw the river 123 times, and the train left."]


pytestmark = pytest.mark.usefixtures("bare_runs")


@pytest.fixture(params=["cls", "avg", "avg_first_last"])
def trained(request, command, tmp_path):
    training.main([*command, "--pooler_type", request.param, "--max_steps", "2"])
    return tmp_path / "out", request.param


def test_three_libraries_give_one_embedding(trained):
    folder, pooler = trained
    ours = SentenceEncoder.from_pretrained(folder)
    embeddings = ours.encode(SENTENCES)
    assert np.abs(embeddings[0] - embeddings[1]).max() > 0.1

    theirs = SentenceTransformer(str(folder), device="cpu")
    assert theirs.max_seq_length == ours.max_seq_length
    np.testing.assert_allclose(theirs.encode(SENTENCES), embeddings, atol=1e-5)
    for checkpoint in folder.glob("checkpoint-*"):
        kept = SentenceTransformer(str(checkpoint), device="cpu").encode(SENTENCES)
        np.testing.assert_allclose(kept, SentenceEncoder(checkpoint).encode(SENTENCES), atol=1e-5)

    plain, loading = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    inputs = AutoTokenizer.from_pretrained(folder)(SENTENCES[:1], return_tensors="pt")
    with torch.inference_mode():
        states = plain(**inputs, output_hidden_states=True).hidden_states
    pooled = {
        "cls": states[-1][0, 0],
        "avg": states[-1][0].mean(0),
        "avg_first_last": ((states[1] + states[-1]) / 2)[0].mean(0),
    }
    np.testing.assert_allclose(pooled[pooler].numpy(), embeddings[0], atol=1e-5)


def test_the_command_line_goes_all_the_way(command, tmp_path, capsys):
    out, lines = tmp_path / "out", tmp_path / "lines.txt"
    lines.write_text("\n".join(SENTENCES))
    cli.main(["train", *command])
    cli.main(["evaluate", "--model_name_or_path", str(out), *command[6:8], "--tasks", "STSBenchmark"])
    assert "STSBenchmark" in capsys.readouterr().out
    cli.main(["encode", "--model", str(out), str(lines), "--output", str(tmp_path / "lines.npy")])
    np.testing.assert_allclose(np.load(tmp_path / "lines.npy"), SentenceEncoder(out).encode(SENTENCES), atol=1e-6)
    capsys.readouterr()
    cli.main(["search", "--model", str(out), "--corpus", str(lines), "--top_k", "1", SENTENCES[1]])
    assert json.loads(capsys.readouterr().out)["sentence"] == SENTENCES[1]
