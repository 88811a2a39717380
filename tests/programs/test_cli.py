"""`mixcse NAME`: which program a name runs, and what the two that have no script of their own do."""

import io
import json

import numpy as np
import pytest

from mixcse import cli
from mixcse.base.program import run_cli
from mixcse.encoder import encode_command as encode
from mixcse.encoder import search_command as search


@pytest.fixture()
def stdin(monkeypatch):
    def give(text: str) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    return give


def lines_of(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_shows_examples_under_its_own_name(name, capsys):
    with pytest.raises(SystemExit) as exit:
        cli.main([name, "--help"])
    assert exit.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: mixcse {name}")
    assert name == "fetch" or f"\n  mixcse {name} " in shown
    assert "default: None" not in shown


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_without_a_name_it_lists_them_all(argv, capsys):
    with pytest.raises(SystemExit) as exit:
        cli.main(argv)
    assert exit.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in cli.COMMANDS)


def test_the_version(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out.startswith("mixcse ")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["evlauate"], "unknown command 'evlauate'; did you mean evaluate?"),
        (["xyz"], "unknown command 'xyz'; there are train, evaluate,"),
        (["--frobnicate"], "unknown option --frobnicate"),
        (["fetch", "now"], "unexpected argument 'now'"),
        (["train", "--no_such"], "unknown option --no_such"),
    ],
)
def test_a_wrong_command_line_is_one_line(argv, says, capsys, stdin):
    stdin("")
    assert run_cli(cli.main, argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert says in said
    assert said.count("\n") == 1


def test_a_pipe_becomes_json_lines(tiny_bert, stdin, capsys):
    stdin("the cat sat\n\nthe dog ran\n")
    encode.main(["--model", str(tiny_bert), "--truncate_dim", "4"])
    first, empty, last = lines_of(capsys)
    assert (first["sentence"], empty["sentence"], last["sentence"]) == ("the cat sat", "", "the dog ran")
    assert len(first["embedding"]) == 4
    assert first["embedding"] != last["embedding"]


def test_a_file_becomes_an_array_with_the_same_numbers(tiny_bert, tmp_path, capsys):
    corpus = tmp_path / "rows.csv"
    corpus.write_text('id,body\n1,the cat sat\n2,"a dog, a mat"\n')
    common = ["--model", str(tiny_bert), str(corpus), "--text_column", "body", "--normalize"]
    encode.main([*common, "--output", str(tmp_path / "out.npy")])
    assert "2 embeddings of 16 dimensions" in capsys.readouterr().err
    encode.main(common)
    rows = lines_of(capsys)
    assert rows[1]["sentence"] == "a dog, a mat"
    saved = np.load(tmp_path / "out.npy")
    np.testing.assert_allclose(saved, [row["embedding"] for row in rows], rtol=0, atol=1e-7)
    np.testing.assert_allclose(np.linalg.norm(saved, axis=1), 1, rtol=1e-6)


def test_search_finds_and_keeps_an_index(tiny_bert, tmp_path, toy_sentences, capsys, stdin):
    corpus, index = tmp_path / "corpus.txt", tmp_path / "index"
    corpus.write_text("\n".join(toy_sentences[:40]))
    model = ["--model", str(tiny_bert)]
    asked = [toy_sentences[7], toy_sentences[3]]
    search.main([*model, "--corpus", str(corpus), *asked, "--top_k", "3", "--save_index", str(index)])
    hits = lines_of(capsys)
    assert [hit["query"] for hit in hits] == [asked[0]] * 3 + [asked[1]] * 3
    assert (hits[0]["sentence"], hits[0]["position"], hits[3]["position"]) == (asked[0], 7, 3)
    assert hits[0]["score"] == pytest.approx(1, abs=1e-5)
    assert hits[0]["score"] >= hits[1]["score"] >= hits[2]["score"]

    stdin("\n".join([asked[0], "", asked[1]]))
    search.main([*model, "--index", str(index), "--top_k", "3"])
    assert lines_of(capsys) == hits

    search.main([*model, "--index", str(index), asked[0], "--top_k", "40", "--threshold", "0.9999"])
    assert all(hit["score"] >= 0.9999 for hit in lines_of(capsys))
