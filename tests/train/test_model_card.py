"""The model card that training writes."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard

from mixcse import SentenceEncoder
from mixcse.base.files import read_json
from mixcse.model.sentence_model import SentenceModel
from mixcse.names import POOLERS
from mixcse.options import ModelArguments
from mixcse.train import run as training
from mixcse.train.folder import default_options
from mixcse.train.model_card import write_model_card

SENTENCES = ["A cat sits on the mat.", "Two dogs run."]  # those of the snippets


@pytest.fixture()
def card_of(tiny_bert):
    """Writes and gives the card of a model that was not trained here."""

    def card(folder, pooler="cls_before_pooler", scores=None, name=None, prompt="", unpooled=0, **options):
        model = SentenceModel.from_pretrained(tiny_bert)
        model.prompt, model.include_prompt, model.unpooled = prompt, not unpooled, unpooled
        model.save_pretrained(folder, recorded_pooler=pooler)
        given = {"model_name_or_path": str(tiny_bert), "train_file": "a.txt", "pooler_type": pooler} | options
        model_args = ModelArguments(**{one: given[one] for one in ("model_name_or_path", "variant") if one in given})
        options = default_options() | given
        write_model_card(folder, model, model_args, options, examples=1234, scores=scores or {}, name=name)
        return ModelCard.load(folder / "README.md", ignore_metadata_errors=False)

    return card


PROMPTED = {"prompt": 'the "cat": ', "unpooled": 6}  # tokens, the first special one included


@pytest.mark.parametrize("how", [{}, PROMPTED | {"unpooled": 0}, PROMPTED], ids=["plain", "prompt", "unpooled"])
@pytest.mark.parametrize("pooler", [pooler for pooler in POOLERS if pooler != "cls"])
def test_the_snippets_run_and_agree(pooler, how, card_of, tmp_path, monkeypatch):
    if pooler == "cls_before_pooler" and how.get("unpooled"):
        pytest.skip("is refused")
    (tmp_path / "my model").mkdir()
    content = card_of(tmp_path / "my model", pooler, **how).content
    assert f"(pooler `{pooler}`)" in content and "****" not in content
    snippets = re.findall(r"```python\n(.*?)```", content, re.DOTALL)
    libraries = ("mixcse", "SentenceTransformer", "AutoModel")
    assert all(name in snippet for name, snippet in zip(libraries, snippets, strict=True))
    monkeypatch.chdir(tmp_path)
    expected = SentenceEncoder(tmp_path / "my model").encode(SENTENCES)
    for snippet in snippets:
        names = {}
        exec(snippet, names)
        np.testing.assert_allclose(names["embeddings"], expected, atol=1e-5)


def test_what_a_run_says_of_itself(command, bare_runs, tmp_path):
    training.main([*command, "--weight_decay", "0.25", "--dropout", "0.0"])
    text = (tmp_path / "out" / "README.md").read_text()
    data = ModelCard(text).data
    assert (data.library_name, data.pipeline_tag) == ("sentence-transformers", "sentence-similarity")
    assert {"sentence-transformers", "mixcse"} <= set(data.tags)
    assert (data.license, data.language) == ("other", None)
    assert data.base_model is None  # it was a path
    assert "`tiny-bert0`" in text
    for path in (tmp_path, Path(command[1])):
        assert str(path) not in text
        assert str(path.parent) not in text

    scores = read_json(tmp_path / "out" / "eval_results.json")
    for line in (
        f"after step {scores['step']}",
        f"| `uniformity` | {scores['eval_uniformity']:.4f} |",
        "| name | `train.txt` |",
        "| examples | 64 |",
        read_json(tmp_path / "out" / "arguments.json")["train_file_sha256"],
        "lambda 0.2 and temperature 0.05; a batch has 8 sentences",
        "| `weight_decay` | `0.25` |",
        "| `dropout` | `0.0` |",
        "| `max_steps` | `6` |",
        "Yanzhao",
    ):
        assert line in text
    for name in ("warmup_steps", "adam_beta1", "accelerator_config", "eval_steps", "output_dir", "pooler_type"):
        assert f"`{name}`" not in text


def test_what_was_not_measured_or_changed_is_not_claimed(card_of, tmp_path):
    card = card_of(tmp_path, pooler="cls_before_pooler", variant="simcse", train_file=["x/a.txt", "y/b.txt"])
    assert "None were measured" in card.content
    assert "simcse" in card.data.tags and "mixed negatives (MixCSE" not in card.content
    assert "| name | `a.txt` |\n| name | `b.txt` |" in card.content
    assert "All options are as they are by default" in card_of(tmp_path, "cls_before_pooler", pooler_type="cls").content


@pytest.mark.parametrize(
    ("base", "expected"),
    [("google-bert/bert-base-uncased", "google-bert/bert-base-uncased"), ("/home/me/secret/bert", None)],
)
def test_a_base_model_of_the_hub_is_told_from_a_lost_path(card_of, tmp_path, base, expected):
    card = card_of(tmp_path, model_name_or_path=base)
    assert card.data.base_model == expected
    assert card.data.license == "other"  # no network here
    assert "secret" not in card.content


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("license: apache-2.0", "apache-2.0"),
        ("license: other\nlicense_name: mine", None),
        ("license: [a, b]", None),
        ("tags: [broken", None),
    ],
)
def test_the_base_models_licence_is_taken_over(stated, expected, tiny_bert, card_of, tmp_path):
    base = shutil.copytree(tiny_bert, tmp_path / "base")
    (base / "README.md").write_text(f"---\n{stated}\n---\n# A model\n")
    card = card_of(tmp_path, model_name_or_path=str(base))
    assert card.data.license == (expected or "other")
    assert ("Look its terms up" in card.content) == (expected is None)


@pytest.mark.parametrize(
    "name",
    [
        "me/x\n---\nlicense: mit",
        "a: [b",
        "'\"`]\n```bash\nrm -rf ~\n```\n# x",
        """<script>alert(1)</script>"'><img src=x>|*c*{{ 7 * 7 }}""",
    ],
)
def test_names_cannot_break_out(card_of, tmp_path, name):
    def card(value):
        options = dict.fromkeys(("model_name_or_path", "name", "optim", "lr_scheduler_type"), value)
        scores = {"step": 1, "eval_stsb_spearman": 0.5, f"eval_{value}": 1}
        return card_of(tmp_path, scores=scores, train_file=f"x/{value}", **options)

    plain, hostile = card("a value"), card(name)
    front = yaml.safe_load((tmp_path / "README.md").read_text().split("\n---\n", 1)[0].removeprefix("---\n"))
    assert front.keys() == plain.data.to_dict().keys() == hostile.data.to_dict().keys()
    assert front["license"] == plain.data.license
    # Headings, rules, fences and the tables' columns are the same, but for the name behind the first "# ".
    marks = [
        [re.sub("^# .*", "#", line) if line[0] != "|" else len(re.findall(r"(?<!\\)\|", line))
         for line in text.splitlines() if line.startswith(("#", "---", "```", "|"))]
        for text in (plain.content, hostile.content)
    ]  # fmt: skip
    assert marks[0] == marks[1]
    names = {"SentenceEncoder": lambda name: name}
    exec(re.search(r"^encoder = .*$", hostile.content, re.MULTILINE)[0], names)
    assert names["encoder"] == name
    assert "<script>" not in re.sub("```.*?```|`[^`]*`", "", hostile.text, flags=re.DOTALL)
