"""Training data: tokens, their cache, data sets of the Hub's form."""

import gzip
import json

import pytest

from mixcse.base.errors import UserError
from mixcse.data.corpus import Corpus
from mixcse.data.tokens import load_training_data
from mixcse.options import DataArguments
from mixcse.train import run as training


def write(path, content):
    path.write_text(content)
    return path


def load(path, tokenizer, max_seq_length=32, *, overwrite_cache=False, **options):
    arguments = DataArguments([str(path)], max_seq_length=max_seq_length, **options)
    return load_training_data(Corpus.open(arguments), tokenizer, overwrite_cache=overwrite_cache)[0]


MARKED = {
    "a.txt": b"the cat\na dog\nthe mat\n",
    "a.csv": b"text\nthe cat\na dog\nthe mat\n",
    "a.tsv": b"text\nthe cat\n\na dog\nthe mat\n",
    "a.jsonl": b'{"text": "the cat"}\n{"text": "a dog"}\n{"text": "the mat"}\n',
}


@pytest.mark.parametrize("name", MARKED)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["newlines", "returns"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["bare", "marked"])
@pytest.mark.parametrize("squeeze", [False, True], ids=["plain", "squeezed"])
def test_byte_order_marks_and_ends_of_lines_are_no_text(tmp_path, name, end, mark, squeeze):
    content = mark + MARKED[name].replace(b"\n", end)
    path = tmp_path / (name + ".gz" * squeeze)
    path.write_bytes(gzip.compress(content) if squeeze else content)
    assert Corpus.open(DataArguments(str(path))).text()["sentence1"][:] == ["the cat", "a dog", "the mat"]


def test_long_sentences_are_cut(tmp_path, tokenizer):
    path = write(tmp_path / "a.txt", "the cat sat " * 50 + "\na\n")
    assert len(load(path, tokenizer, 8)[0]["input_ids"][0]) == 8


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tsv", "\t")])
def test_pairs_and_triplets(tmp_path, tokenizer, suffix, separator):
    rows = [["sent0", "sent1", "hard_neg"], ["the cat", "a cat", "dog"], ["007", "NA", ""]]
    pairs = write(tmp_path / f"pairs{suffix}", "\n".join(separator.join(row[:2]) for row in rows))
    triplets = write(tmp_path / f"triplets{suffix}", "\n".join(separator.join(row) for row in rows))
    text = Corpus.open(DataArguments(str(triplets))).text()
    assert text[1] == {"sentence1": "007", "sentence2": "NA", "sentence3": ""}
    assert [len(group) for group in load(pairs, tokenizer)["input_ids"]] == [2, 2]
    assert load(triplets, tokenizer)[1]["input_ids"][2] == tokenizer(" ")["input_ids"]


def test_tokens_are_cached_by_content_not_by_what_the_tokenizer_did_before(tmp_path, tokenizer):
    path = write(tmp_path / "a.txt", "the cat\na dog\n")
    first = load(path, tokenizer)
    tokenizer(["a"], truncation=True, max_length=3, padding=True)
    assert load(path, tokenizer).cache_files == first.cache_files
    assert load(path, tokenizer, 16).cache_files != first.cache_files
    write(path, "the mat\na dog\n")
    assert load(path, tokenizer)[0]["input_ids"][0] == tokenizer("the mat")["input_ids"]


@pytest.mark.parametrize("name", ["a.json", "a.csv"])
def test_tables_are_cached_as_well(tmp_path, tokenizer, name):
    contents = {"a.json": '["the cat", "a dog", "the mat"]', "a.csv": "n,t\n1,the cat\n2,a dog\n3,the mat\n"}
    path, column = write(tmp_path / name, contents[name]), {"text_column": "t" if name == "a.csv" else "text"}
    first = load(path, tokenizer, **column)
    assert load(path, tokenizer, **column).cache_files == first.cache_files
    write(path, contents[name].replace("dog", "cat"))
    assert load(path, tokenizer, **column)[1]["input_ids"][0] == tokenizer("a cat")["input_ids"]


def test_several_workers(tmp_path, tokenizer, toy_sentences):
    path = write(tmp_path / "a.txt", "\n".join(toy_sentences))
    both = load(path, tokenizer, preprocessing_num_workers=2, overwrite_cache=True)
    assert both["input_ids"][:] == load(path, tokenizer)["input_ids"][:]


@pytest.fixture()
def data_set(tmp_path):
    """A folder that `datasets.load_dataset` takes: two splits, a column that is no text."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for split, words in (("train", ("cat", "dog", "bird")), ("test", ("river",))):
        rows = [json.dumps({"id": number, "body": f"the {word}"}) for number, word in enumerate(words)]
        (folder / f"{split}.jsonl").write_text("\n".join(rows))
    return folder


def test_a_data_set_in_a_folder(data_set, tokenizer):
    arguments = DataArguments(dataset_name=str(data_set), text_column="body")
    assert Corpus.open(arguments).text()["sentence1"][:] == ["the cat", "the dog", "the bird"]
    arguments.dataset_split = "test"
    assert Corpus.open(arguments).text()["sentence1"][:] == ["the river"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"text_column": "id"}, "split train: column 'id' holds no text"),
        ({"text_column": "text"}, "no column 'text'; there are id, body"),
        ({"dataset_split": "dev", "text_column": "body"}, "dev"),
        (
            {"dataset_name": "nobody/has-this", "text_column": "body"},
            "--dataset_name nobody/has-this: .*without a network",
        ),
    ],
)
def test_a_data_set_that_cannot_be_had(data_set, options, says):
    with pytest.raises(UserError, match=says) as error:
        Corpus.open(DataArguments(**{"dataset_name": str(data_set)} | options)).text()
    assert "\n" not in str(error.value)


def test_training_on_several_files_and_on_a_data_set(command, data_set, tmp_path, toy_sentences, monkeypatch):
    """Both runs are known again, are others when the data change, and can be given again as recorded."""
    monkeypatch.setattr("mixcse.train.ending.draw", lambda folder: None)
    place = command.index("--train_file")
    rest = [*command[:place], *command[place + 2 : command.index("--do_eval")], "--max_steps", "1"]
    for number in range(2):
        (tmp_path / f"part-{number}.txt").write_text("\n".join(toy_sentences[8 * number : 8 * number + 8]))
    (data_set / "train.jsonl").write_text("\n".join(json.dumps({"id": 0, "body": line}) for line in toy_sentences[:16]))
    kinds = {
        "files": ["--train_file", str(tmp_path / "part-*.txt")],
        "set": ["--dataset_name", str(data_set), "--text_column", "body"],
    }
    for name, source in kinds.items():
        training.main([*rest, *source, "--output_dir", str(tmp_path / name)])
        recorded = tmp_path / name / "arguments.json"
        training.main([str(recorded), "--output_dir", str(tmp_path / f"{name} again")])
        weights = [(tmp_path / folder / "model.safetensors").read_bytes() for folder in (name, f"{name} again")]
        assert weights[0] == weights[1]
    for changed in (tmp_path / "part-1.txt", data_set / "train.jsonl"):
        changed.write_text(changed.read_text().replace("cat", "bird"))
    for name, source in kinds.items():
        with pytest.raises(UserError, match="train_file_sha256"):
            training.main([*rest, *source, "--output_dir", str(tmp_path / name)])


def test_truncated_sentences_are_warned_of(tmp_path, tokenizer, capsys):
    path = write(tmp_path / "a.txt", "the cat sat on the mat\na cat\na dog\nthe dog\n")
    load(path, tokenizer, 6)
    said = "25.0 % of the sentences have more than 6 tokens and are truncated (the longest: 9); --max_seq_length raises"
    assert said in capsys.readouterr().err
    load(path, tokenizer, 9)
    assert "truncated" not in capsys.readouterr().err
