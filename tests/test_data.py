"""Training files: what is read, what is refused, what is cached."""

import pytest

from mixcse.console import UserError
from mixcse.data import load_training_data, read_text_columns


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_plain_text(tmp_path, tokenizer):
    path = write(tmp_path / "a.txt", "the cat sat\n\na dog\r\nthe\u2028mat")
    text = read_text_columns(path)
    assert text["sentence1"][:] == ["the cat sat", "", "a dog", "the\u2028mat"]
    data = load_training_data(path, tokenizer, 32)
    expected = tokenizer(["the cat sat", " ", "a dog", "the\u2028mat"])["input_ids"]
    assert data["input_ids"][:] == [[ids] for ids in expected]


def test_long_sentences_are_cut(tmp_path, tokenizer):
    path = write(tmp_path / "a.txt", "the cat sat " * 50 + "\na\n")
    assert len(load_training_data(path, tokenizer, 8)[0]["input_ids"][0]) == 8


@pytest.mark.parametrize(("suffix", "separator"), [(".csv", ","), (".tsv", "\t")])
def test_pairs_and_triplets(tmp_path, tokenizer, suffix, separator):
    rows = [["sent0", "sent1", "hard_neg"], ["the cat", "a cat", "dog"], ["007", "NA", ""]]
    pairs = write(tmp_path / f"pairs{suffix}", "\n".join(separator.join(row[:2]) for row in rows))
    triplets = write(tmp_path / f"triplets{suffix}", "\n".join(separator.join(row) for row in rows))
    assert read_text_columns(triplets)[1] == {"sentence1": "007", "sentence2": "NA", "sentence3": ""}
    assert [len(group) for group in load_training_data(pairs, tokenizer, 32)["input_ids"]] == [2, 2]
    assert load_training_data(triplets, tokenizer, 32)[1]["input_ids"][2] == tokenizer(" ")["input_ids"]


def test_quoted_csv(tmp_path):
    path = write(tmp_path / "a.csv", 'a,b\n"one, two","three ""four"""\nx,y\n')
    assert read_text_columns(path)[0] == {"sentence1": "one, two", "sentence2": 'three "four"'}


def test_tokens_are_cached_by_content_not_by_what_the_tokenizer_did_before(tmp_path, tokenizer):
    path = write(tmp_path / "a.txt", "the cat\na dog\n")
    first = load_training_data(path, tokenizer, 32)
    tokenizer(["a"], truncation=True, max_length=3, padding=True)
    assert load_training_data(path, tokenizer, 32).cache_files == first.cache_files
    assert load_training_data(path, tokenizer, 16).cache_files != first.cache_files
    write(path, "the mat\na dog\n")
    changed = load_training_data(path, tokenizer, 32)
    assert changed[0]["input_ids"][0] == tokenizer("the mat")["input_ids"]


def test_several_workers(tmp_path, tokenizer, toy_sentences):
    path = write(tmp_path / "a.txt", "\n".join(toy_sentences))
    alone = load_training_data(path, tokenizer, 32)
    both = load_training_data(path, tokenizer, 32, num_workers=2, overwrite_cache=True)
    assert both["input_ids"][:] == alone["input_ids"][:]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"", "empty"),
        ("a.txt", b"only one\n", "at least 2"),
        ("a.txt", b"fine\ncaf\xe9\n", "line 2 is not UTF-8"),
        ("a.csv", b"a,b\nx,y\n\xff,y\n", "line 3 is not UTF-8"),
        ("a.csv", b"a,b,c,d\n1,2,3,4\n", "line 1: 4 columns"),
        ("a.csv", b"a,b\n1,2,3\n", "line 2: 3 columns under a header of 2"),
        ("a.csv", b"a,b\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
        ("a.json", b"{}", "expected .txt, .csv or .tsv"),
    ],
)
def test_bad_files_are_named(tmp_path, tokenizer, name, content, says):
    path = write(tmp_path / name, content)
    with pytest.raises(UserError) as error:
        load_training_data(path, tokenizer, 32)
    assert str(path) in str(error.value)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file_and_folder(tmp_path, tokenizer):
    with pytest.raises(UserError, match="no such file"):
        load_training_data(tmp_path / "none.txt", tokenizer, 32)
    with pytest.raises(UserError, match="not a file"):
        load_training_data(tmp_path, tokenizer, 32)
