"""The harness: the original's scores, its surface, and what it says of bad data."""

import json
import platform
from pathlib import Path

import numpy as np
import pytest
import torch
from hash_encoder import encode

import senteval
from senteval.encoding import embed_distinct
from senteval.readers import read_lines, read_pairs_file, read_sts_year
from senteval.sts import cosine_rows, score_sts

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "senteval_scores.json").read_text())["sts"]
# How rounding ranks pairs of equal sentences moves Spearman a little (see cosine_rows).
TOLERANCE = 1e-4 if platform.machine() in ("x86_64", "AMD64") else 1e-3


def batcher(params, batch):
    return encode([" ".join(tokens) for tokens in batch])


@pytest.mark.parametrize("task", GOLDEN)
def test_equals_the_original_harness(task, senteval_data):
    results = senteval.engine.SE({"task_path": str(senteval_data)}, batcher).eval(task)
    assert results.keys() == GOLDEN[task].keys()
    for dataset, expected in GOLDEN[task].items():
        if dataset == "all":
            for kind in ("pearson", "spearman"):
                assert results["all"][kind] == pytest.approx(expected[kind], abs=TOLERANCE)
        else:
            assert results[dataset]["nsamples"] == expected["nsamples"]
            assert results[dataset]["pearson"][0] == pytest.approx(expected["pearson"], abs=TOLERANCE)
            assert results[dataset]["spearman"].correlation == pytest.approx(expected["spearman"], abs=TOLERANCE)


def test_every_sts_task_is_complete(senteval_data):
    suite = senteval.Suite.load(GOLDEN.keys() | {"STS13", "STS14", "STS15", "STS16", "SICKRelatedness"}, senteval_data)
    assert not suite.missing
    assert {task: sum(map(len, datasets.values())) for task, datasets in suite.tasks.items()} == {
        "STS12": 3108,
        "STS13": 1500,
        "STS14": 3750,
        "STS15": 3000,
        "STS16": 1186,
        "STSBenchmark": 8628,
        "SICKRelatedness": 9927,
    }


def test_the_surface_that_scripts_use(toy_senteval):
    """In the shape of SimCSE's evaluation script."""
    seen = []

    def prepare(params, samples):
        seen.append((params.current_task, len(samples), params["custom"]))

    def tensors(params, batch):
        assert params.batch_size >= len(batch)
        assert isinstance(batch[0], list)
        assert isinstance(batch[0][0], str)
        return torch.from_numpy(batcher(params, batch)).requires_grad_()

    params = {"task_path": str(toy_senteval), "usepytorch": True, "kfold": 5, "batch_size": 7, "custom": 1}
    params["classifier"] = {"nhid": 0, "optim": "rmsprop", "batch_size": 128, "tenacity": 3, "epoch_size": 2}
    engine = senteval.engine.SE(params, tensors, prepare)
    results = engine.eval(["STSBenchmark", "SICKRelatedness"])
    assert seen == [("STSBenchmark", 144, 1), ("SICKRelatedness", 144, 1)]
    test = results["STSBenchmark"]["test"]
    assert test["spearman"].correlation == test["spearman"][0]
    assert test["nsamples"] == 24
    assert set(results["STSBenchmark"]["all"]["spearman"]) == {"all", "mean", "wmean"}
    assert engine.params.classifier.tenacity == 3


def test_params_may_be_an_object(toy_senteval):
    class Params:
        def __init__(self):
            self.task_path = toy_senteval

    assert "dev" in senteval.engine.SE(Params(), batcher).eval("STSBenchmark")


def test_each_distinct_sentence_is_encoded_once_shortest_first(toy_senteval):
    calls = []

    def counting(sentences):
        calls.append(sentences)
        return encode(sentences)

    suite = senteval.Suite.load(["STSBenchmark", "SICKRelatedness"], toy_senteval, splits=["dev", "test"])
    assert list(suite.tasks["STSBenchmark"]) == ["dev", "test"]
    results = suite.score(suite.embed(counting))
    assert len(calls) == 1
    assert len(calls[0]) == len(set(calls[0])) == len(set(suite.sentences()))
    lengths = [len(sentence.split()) for sentence in calls[0]]
    assert lengths == sorted(lengths)
    alone = senteval.engine.SE({"task_path": toy_senteval}, batcher).eval("SICKRelatedness")
    assert results["SICKRelatedness"]["test"]["spearman"][0] == alone["test"]["spearman"][0]


def test_a_task_without_data_is_named_and_the_others_go_on(toy_senteval):
    suite = senteval.Suite.load(["STS12", "STSBenchmark"], toy_senteval)
    assert list(suite.tasks) == ["STSBenchmark"]
    assert "STS.input.MSRpar.txt: No such file" in suite.missing["STS12"]


def test_sorted_as_the_original_does_and_stripped(tmp_path):
    path = tmp_path / "pairs.csv"
    lines = ["g\tf\ty\t1\t3.0\tb  b b\tx", "g\tf\ty\t2\t1.0\ta\ty y", "g\tf\ty\t3\t0.5\tc\tz z\tlicence"]
    path.write_bytes("\n".join(lines).encode() + b"\r\n")
    pairs = read_pairs_file(path)
    assert pairs.first == ["c", "a", "b b b"]
    assert pairs.second == ["z z", "y y", "x"]
    assert pairs.scores.tolist() == [0.5, 1.0, 3.0]


def test_pairs_without_a_gold_score_are_dropped(tmp_path):
    folder = tmp_path / "STS" / "STS16-en-test"
    folder.mkdir(parents=True)
    (folder / "STS.input.x.txt").write_text("a\tb\nc\td\ne\tf\n")
    (folder / "STS.gs.x.txt").write_text("1.0\n\n2.0\n")
    assert read_sts_year(tmp_path, "16", ["x"])["x"].first == ["a", "e"]
    (folder / "STS.gs.x.txt").write_text("1.0\n\n")
    with pytest.raises(senteval.DataError, match="2 scores for the 3 pairs"):
        read_sts_year(tmp_path, "16", ["x"])


def test_only_newlines_end_a_line(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_bytes("\ufeffone\u2028still one\r\n\ntwo\x85".encode())
    assert list(read_lines(path)) == [(1, "one\u2028still one"), (2, ""), (3, "two\x85")]


def test_cosine_of_zero_vectors_is_zero():
    a, b = np.array([[1.0, 0], [0, 0], [3, 4]]), np.array([[0.0, 1], [1, 1], [6, 8]])
    assert cosine_rows(a, b).tolist() == pytest.approx([0, 0, 1])


def test_equal_embeddings_have_no_correlation():
    pairs = senteval.Pairs(["a", "b", "c"], ["d", "e", "f"], np.array([1.0, 2.0, 3.0]))
    embedded = embed_distinct(lambda sentences: np.ones((len(sentences), 2)), pairs.sentences())
    assert np.isnan(score_sts({"x": pairs}, embedded)["x"]["spearman"].correlation)


@pytest.mark.parametrize(
    ("gold", "similarities", "expected"),
    [
        ([1, 1, 2, 3], [1, 2, 2, 3], 0.8333),
        ([1, 1, 1, 2], [1, 2, 3, 4], 0.7746),
        ([1, 1, 1, 1, 2], [5, 4, 3, 2, 1], -0.7071),
    ],
)
def test_equal_gold_scores_share_a_rank(gold, similarities, expected):
    """The short formula of Spearman's, for ranks without ties, gives 0.85, 0.8 and -0.25."""
    names = [str(value) for value in similarities]
    pairs = senteval.Pairs(names, names, np.array(gold, dtype=float))
    embedded = embed_distinct(lambda sentences: np.array([[float(x)] for x in sentences]), pairs.sentences())
    scores = score_sts({"x": pairs}, embedded, similarity=lambda u, v: u[0])
    assert scores["x"]["spearman"].correlation == pytest.approx(expected, abs=1e-4)
