"""What a corpus holds twice, and lines with next to nothing on them."""

import pytest
from datasets import Dataset
from run_folder import same_weights

from mixcse.data.corpus import Corpus
from mixcse.data.rows import find_duplicates
from mixcse.data.tokens import load_training_data
from mixcse.options import DataArguments
from mixcse.train import run as training

pytestmark = pytest.mark.usefixtures("bare_runs")

LINES = ["the cat sat", "a dog", "", " a dog ", "the cat sat", "-", "A dog", "你好", "7", "好.", "a dog", "..."]


def found_in(**columns):
    found = find_duplicates(Dataset.from_dict(columns))
    return found.duplicates.tolist(), found.near_empty.tolist()


def test_repeated_and_near_empty_lines_are_told_apart():
    assert found_in(sentence1=LINES) == ([3, 4, 10], [2, 5, 8, 9, 11])


def test_a_pair_is_a_duplicate_as_a_whole_and_needs_no_hard_negative():
    first, second = ["a cat", "a cat", "a cat", "a cat", "a dog"], ["a mat", "a dog", "a mat", "a mat", ""]
    assert found_in(sentence1=first, sentence2=second) == ([2, 3], [4])
    assert found_in(sentence1=first, sentence2=second, sentence3=["", "", "x y", "", "x y"]) == ([3], [4])
    assert found_in(sentence1=["a b", "a"], sentence2=["c d", "b c d"]) == ([], [1])  # not run together


def test_pairs_that_share_their_second_sentence_are_counted():
    """They are false negatives of each other where a batch has both; whole duplicates are counted as such."""
    first = ["when do you open", "what are your hours", "where are you", "where are you", ""]
    second = ["at nine every day", "at nine every day", "beside the station", "beside the station", "at nine every day"]
    found = find_duplicates(Dataset.from_dict({"sentence1": first, "sentence2": second}))
    assert (found.duplicates.tolist(), found.near_empty.tolist(), found.shared) == ([3], [4], 2)
    assert "; 2 rows share their second sentence: false negatives" in found.report(removed=False)


def test_lines_with_tabs_are_warned_of(tmp_path, tokenizer, capsys):
    path = tmp_path / "pairs.txt"
    path.write_text("the cat\ta cat\na dog\tthe dog\na mat\n")
    load_training_data(Corpus.open(DataArguments([str(path)])), tokenizer)
    assert "2 lines hold tabs; each line is taken as one sentence" in capsys.readouterr().err


def test_what_is_said():
    found = find_duplicates(Dataset.from_dict({"sentence1": LINES * 100}))
    line = "1,200 sentences: 696 exact duplicates, 500 near-empty"
    assert found.report(removed=False) == f"{line}; --dedupe leaves them out (duplicates are false negatives)"
    assert found.report(removed=True) == f"{line}; without them 4 are left"
    assert found.kept().tolist() == [0, 1, 6, 7]
    clean = find_duplicates(Dataset.from_dict({"sentence1": ["a cat", "a dog"]}))
    assert clean.report(removed=False) == "2 sentences: 0 exact duplicates, 0 near-empty"


@pytest.fixture()
def corpus(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(LINES))
    return str(path)


def test_without_the_option_nothing_is_left_out(corpus, tokenizer):
    every, found = load_training_data(Corpus.open(DataArguments(corpus)), tokenizer)
    kept, _ = load_training_data(Corpus.open(DataArguments(corpus, dedupe=True)), tokenizer)
    assert len(every) == len(LINES)
    assert kept["input_ids"][:] == [every[int(row)]["input_ids"] for row in found.kept()]


def test_training_without_duplicates_is_training_on_a_clean_file(command, tmp_path, toy_sentences, capsys):
    command = command[: command.index("--do_eval")]
    training.main([*command, "--output_dir", str(tmp_path / "clean")])
    lines = toy_sentences[:64]
    (tmp_path / "train.txt").write_text("\n".join([*lines[:40], lines[3], "", *lines[40:], lines[50]]))
    capsys.readouterr()
    training.main([*command, "--dedupe"])
    assert "67 sentences: 2 exact duplicates, 1 near-empty; without them 64 are left\n" in capsys.readouterr().err
    assert same_weights(tmp_path / "clean", tmp_path / "out")
