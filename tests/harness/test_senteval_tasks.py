"""Transfer, finetune and probing tasks: the original's scores, and one at a time against batched."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hash_encoder import encode

import senteval
from senteval import labelled
from senteval.classification import Protocol, score_nested
from senteval.classifier import EarlyStop, Fit, fit_many, fit_one
from senteval.encoding import embed_distinct
from senteval.relatedness import score_relatedness, spread_scores
from senteval.settings import Settings
from senteval.tasks import TASKS

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "senteval_scores.json").read_text())
FAST = {"nhid": 0, "optim": "rmsprop", "batch_size": 128, "tenacity": 3, "epoch_size": 2}
FULL = {"nhid": 0, "optim": "adam", "batch_size": 64, "tenacity": 5, "epoch_size": 4}


def batcher(params, batch):
    """In the shape of SimCSE's and MixCSE's scripts: bytes-safe, joins, returns a tensor."""
    if len(batch) >= 1 and len(batch[0]) >= 1 and isinstance(batch[0][0], bytes):
        batch = [[word.decode("utf-8") for word in tokens] for tokens in batch]
    return torch.from_numpy(encode([" ".join(tokens) for tokens in batch]))


# Without STSBenchmark-finetune, whose regression takes longer than all others together.
RUN = [(mode, task) for mode in ("fasttest", "test") for task in GOLDEN[mode] if not task.endswith("finetune")]


@pytest.mark.parametrize(("mode", "task"), RUN)
def test_equals_the_original_harness(mode, task, senteval_data):
    params = {"task_path": str(senteval_data), "usepytorch": True, "kfold": 5 if mode == "fasttest" else 10}
    params["classifier"] = dict(FAST if mode == "fasttest" else FULL)
    params["device"] = "cpu"
    results = senteval.engine.SE(params, batcher, lambda params, samples: None).eval(task)
    expected = GOLDEN[mode][task]
    one_sample = 100 / expected["ntest"] + 0.01  # where rounding flips an early stop
    for key, value in expected.items():
        assert results[key] == pytest.approx(value, abs=one_sample if key in ("acc", "f1", "devacc") else 1e-4), key


@pytest.mark.parametrize(
    ("task", "params", "expected"),
    [
        ("MRPC", {"classifier": FAST}, {"devacc": 70.07, "acc": 70.03, "f1": 78.85}),
        ("CR", {}, {"devacc": 67.55, "acc": 65.99}),
    ],
)
def test_what_is_left_out_is_as_the_original_has_it(task, params, expected, senteval_data):
    """Five folds above all; these numbers are the original engine's."""
    results = senteval.engine.SE({"task_path": senteval_data, "device": "cpu"} | params, batcher).eval(task)
    one_sample = 100 / results["ntest"] + 0.01
    assert {key: results[key] for key in expected} == pytest.approx(expected, abs=one_sample)


def test_the_trained_scores_of_fairs_version(toy_senteval, monkeypatch):
    """On request, under the names of the tasks and in FAIR's keys: the same regression, stopped by another number."""
    monkeypatch.setattr("senteval.relatedness.MAX_EPOCH", 60)
    fair = senteval.engine.SE({"task_path": toy_senteval, "relatedness": "trained", "device": "cpu"}, batcher)
    for task in ("STSBenchmark", "SICKRelatedness"):
        results = fair.eval(task)
        assert set(results) == {"devpearson", "pearson", "spearman", "mse", "yhat", "ndev", "ntest"}
        datasets = TASKS[task].load(toy_senteval)
        scores = [score for split in datasets.values() for score in split.sentences()]
        again = score_relatedness(
            datasets, embed_distinct(encode, scores), seed=1111, device="cpu", stopped_by="pearson"
        )
        assert results["yhat"].tolist() == pytest.approx(again["yhat"].tolist())
    assert "spearman" in senteval.engine.SE({"task_path": toy_senteval}, batcher).eval("STSBenchmark")["test"]


def test_the_fixed_sts_benchmark_and_what_is_left_out(toy_senteval):
    folder = toy_senteval / "downstream" / "STS"
    shutil.copytree(folder / "STSBenchmark", folder / "STSBenchmark-fix")
    results = senteval.engine.SE({"task_path": toy_senteval}, batcher).eval(["STSBenchmark", "STSBenchmark-fix"])
    assert results["STSBenchmark-fix"]["test"]["spearman"][0] == results["STSBenchmark"]["test"]["spearman"][0]
    for task, says in (("SNLI", "570,000 pairs"), ("ImageCaptionRetrieval", "features of images")):
        with pytest.raises(ValueError, match=f"'{task}' is left out: .*{says}"):
            senteval.engine.SE({"task_path": toy_senteval}, batcher).eval([task])


def problem(n=230, dim=10, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    features = rng.normal(size=(n, dim)).astype(np.float32)
    features[:, :classes] += 1.2 * np.eye(classes, dtype=np.float32)[labels]
    return torch.from_numpy(features), torch.from_numpy(labels)


def folds_of_uneven_size(n, folds=7):
    parts = np.array_split(np.random.default_rng(1).permutation(n), folds)
    return [(np.sort(np.concatenate(parts[:i] + parts[i + 1 :])), np.sort(parts[i])) for i in range(folds)]


@pytest.mark.parametrize("optim", ["adam", "rmsprop", "sgd,lr=0.1", "adagrad", "adamax", "adadelta", "asgd"])
@pytest.mark.parametrize("held_out_given", [True, False])
def test_many_at_once_equal_one_at_a_time(optim, held_out_given):
    """Folds of two sizes, four strengths, early stops at different rounds."""
    features, labels = problem()
    settings = Settings(optim=optim, batch_size=16, tenacity=1, epoch_size=1, max_epoch=30)
    fits = [
        Fit(train, held_out if held_out_given else None, l2)
        for train, held_out in folds_of_uneven_size(len(labels))
        for l2 in (1e-5, 1e-3, 1e-1, 1.0)
    ]
    assert len({len(fit.train) for fit in fits}) == 2
    together = fit_many(features, labels, fits, 3, settings)
    for fit, batched in zip(fits, together, strict=True):
        alone = fit_one(features, labels, fit, 3, settings)
        assert batched.accuracy == alone.accuracy
        torch.testing.assert_close(batched.model.weight, alone.model.weight, rtol=1e-4, atol=1e-5)
        assert (batched.predict(features) == alone.predict(features)).all()


def test_the_stopping_rule():
    """With tenacity t, the t+1st non-improvement is the last round; the count never goes back."""
    watch = EarlyStop(Settings(tenacity=2, epoch_size=3, max_epoch=100))
    hits = [5, 5, 7, 6, 7]
    assert [watch.improved(correct) for correct in hits] == [True, False, True, False, False]
    assert not watch.goes_on
    assert watch.best == 7
    capped = EarlyStop(Settings(epoch_size=3, max_epoch=5))
    rounds = 0
    while capped.goes_on:
        rounds += 1
        capped.improved(rounds)
    assert rounds == 2  # a round may start as long as no more than max_epoch passes are done


def test_fits_leave_the_global_generators_alone():
    features, labels = problem()
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    rows = np.arange(200)
    for fit in (fit_one, lambda x, y, one, *rest: fit_many(x, y, [one], *rest)):
        fit(features, labels, Fit(rows, None, 1e-4), 3, Settings(max_epoch=1))
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


def test_hidden_layers():
    features, labels = problem()
    rows = np.arange(len(labels))
    settings = Settings(nhid=8, dropout=0.1, max_epoch=8)
    one = fit_one(features, labels, Fit(rows, None, 1e-5), 3, settings)
    (many,) = fit_many(features, labels, [Fit(rows, None, 1e-5)], 3, settings)
    assert (one.predict(features) == many.predict(features)).all()


def samples(n, offset=0, classes=2, pairs=False):
    words = ["good", "bad", "ugly"]
    rng = np.random.default_rng(offset)
    labels = rng.integers(0, classes, n)
    first = [
        f"{words[label]} film {i + offset} {'x ' * int(rng.integers(1, 5))}".strip() for i, label in enumerate(labels)
    ]
    return labelled.Labelled(first, labels, [f"other {i}" for i in range(n)] if pairs else None)


def embed(datasets):
    return embed_distinct(encode, [s for dataset in datasets.values() for s in dataset.sentences()])


@pytest.mark.parametrize("usepytorch", [True, False])
def test_nested_folds_report_what_they_did(usepytorch):
    datasets = {"all": samples(120)}
    protocol = Protocol(kfold=3, usepytorch=usepytorch, settings=Settings(max_epoch=20))
    results = score_nested(datasets, embed(datasets), protocol)
    assert results["ndev"] == results["ntest"] == 120
    assert len(results["folds"]) == 3
    assert results["acc"] == round(float(np.mean([fold["acc"] for fold in results["folds"]])), 2)
    assert results["devacc"] == round(float(np.mean([fold["devacc"] for fold in results["folds"]])), 2)
    assert results["acc"] > 80
    one_at_a_time = dataclasses.replace(protocol, fit=lambda x, y, fits, *rest: [fit_one(x, y, f, *rest) for f in fits])
    assert score_nested(datasets, embed(datasets), one_at_a_time) == results


def test_scores_spread_over_classes():
    spread = spread_scores(np.array([1.0, 2.25, 4.75, 5.0, 0.4]))
    expected = [[1, 0, 0, 0, 0], [0, 0.75, 0.25, 0, 0], [0, 0, 0, 0.25, 0.75], [0, 0, 0, 0, 1], [0.4, 0, 0, 0, 0]]
    np.testing.assert_allclose(spread, expected, atol=1e-6)


def write_probing(folder, name="word_content", lines=None):
    (folder / "probing").mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    words = ["zebra", "apple", "mango"]
    if lines is None:
        sizes = {"tr": 60, "va": 30, "te": 30}
        lines = [
            f"{split}\t{word}\tthe {word} number {i}"
            for split, size in sizes.items()
            for i, word in enumerate(rng.choice(words, size))
        ]
    (folder / "probing" / f"{name}.txt").write_text("\n".join(lines) + "\n")


def test_probing(tmp_path):
    write_probing(tmp_path)
    params = {"task_path": tmp_path, "classifier": FULL | {"nhid": 50}, "device": "cpu"}
    results = senteval.engine.SE(params, batcher).eval("WordContent")  # nhid 0 whatever is asked for
    assert (results["ndev"], results["ntest"]) == (30, 30)
    assert results["acc"] > 60
    datasets = TASKS["WordContent"].load(tmp_path)
    train = datasets["train"]
    names = {sentence.split()[1]: int(label) for sentence, label in zip(train.first, train.labels, strict=True)}
    assert names == {"apple": 0, "mango": 1, "zebra": 2}  # in sorted order


def test_samples_are_sorted_as_the_original_does(tmp_path):
    folder = tmp_path / "CR"
    folder.mkdir()
    (folder / "pos").write_bytes(b"b b\n\ncaf\xe9 x y\n")
    (folder / "neg").write_bytes(b"a a\nz\n")
    read = labelled.read_polarity(tmp_path, "CR/pos", "CR/neg")["all"]
    assert read.first == ["", "z", "a a", "b b", "café x y"]
    assert read.labels.tolist() == [1, 0, 0, 1, 1]


def test_list_tasks():
    tasks = senteval.list_tasks()
    assert len(tasks) == 7 + 1 + 8 + 1 + 2 + 10
    assert tasks["MR"] == {"protocol": "nested", "metric": "acc", "sizes": {"all": 10662}}
    assert tasks["MRPC"]["sizes"] == {"train": 4076, "test": 1725}
    assert {row["protocol"] for row in tasks.values()} | {"fair"} == set(senteval.protocols.PROTOCOLS)


def test_every_task_with_data_is_complete(senteval_data):
    names = [name for name in TASKS if name not in (*senteval.tasks.PROBING_FILES, "STSBenchmark-fix")]
    assert senteval.Suite.load(names, senteval_data).missing == {}


def test_custom_similarity(toy_senteval):
    def run(similarity):
        params = {"task_path": toy_senteval, "similarity": similarity} if similarity else {"task_path": toy_senteval}
        return senteval.engine.SE(params, batcher).eval("STSBenchmark")["test"]["pearson"][0]

    cosine = run(lambda u, v: u @ v / np.linalg.norm(u) / np.linalg.norm(v))
    assert cosine == pytest.approx(run(None), abs=1e-6)
    assert run(lambda u, v: -np.abs(u - v).sum()) != pytest.approx(cosine, abs=1e-6)
