"""Readers of the classification tasks: labelled sentences, and labelled pairs."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from senteval.errors import DataError
from senteval.readers import SICK_FILES, fields_of, read_lines


@dataclass(frozen=True)
class Labelled:
    """n sentences (or pairs, with `second`) and their classes, integers from 0."""

    first: list[str]
    labels: np.ndarray
    second: list[str] | None = None

    def __len__(self) -> int:
        return len(self.first)

    def sentences(self) -> list[str]:
        """All sentences, those of a pair's second place after the first ones."""
        return self.first + (self.second or [])


Row = tuple[str, str | None, int]
TREC_CLASSES = {"ABBR": 0, "DESC": 1, "ENTY": 2, "HUM": 3, "LOC": 4, "NUM": 5}
BINARY_CLASSES = {"0": 0, "1": 1}
SST5_CLASSES = {str(label): label for label in range(5)}
SICK_CLASSES = {"CONTRADICTION": 0, "NEUTRAL": 1, "ENTAILMENT": 2}


def read_polarity(downstream: Path, positive: str, negative: str) -> dict[str, Labelled]:
    """MR, CR, MPQA, SUBJ: a file of each class, a sample a line, latin-1; the first is class 1."""
    rows: list[Row] = []
    for name, label in ((positive, 1), (negative, 0)):
        rows += [(line, None, label) for _, line in read_lines(downstream / name, "latin-1")]
    return {"all": _labelled(rows, downstream / positive)}


def read_sst2(downstream: Path) -> dict[str, Labelled]:
    """SST2: sentence, tab, label."""
    return _by_split(downstream / "SST" / "binary", "sentiment-{}", _sst2_row)


def read_sst5(downstream: Path) -> dict[str, Labelled]:
    """SST5: label, space, sentence."""
    return _by_split(downstream / "SST" / "fine", "sentiment-{}", _sst5_row)


def read_trec(downstream: Path) -> dict[str, Labelled]:
    """TREC: `COARSE:fine question`, latin-1; the coarse class counts."""
    datasets = {}
    for split, name in (("train", "train_5500.label"), ("test", "TREC_10.label")):
        path = downstream / "TREC" / name
        rows = []
        for number, line in read_lines(path, "latin-1"):
            coarse, colon, rest = line.strip().partition(":")
            rows.append(
                (rest.partition(" ")[2], None, _class_of(coarse if colon else line, TREC_CLASSES, path, number))
            )
        datasets[split] = _labelled(rows, path)
    return datasets


def read_mrpc(downstream: Path) -> dict[str, Labelled]:
    """MRPC: a header line; the label is field 1, the sentences are fields 4 and 5."""
    datasets = {}
    for split in ("train", "test"):
        path = downstream / "MRPC" / f"msr_paraphrase_{split}.txt"
        rows = []
        for number, line in read_lines(path):
            if number > 1:
                fields = fields_of(line.strip(), path, number, 5)
                rows.append((fields[3], fields[4], _class_of(fields[0].strip(), BINARY_CLASSES, path, number)))
        datasets[split] = _labelled(rows, path)
    return datasets


def read_sick_entailment(downstream: Path) -> dict[str, Labelled]:
    """SICK: a header line; fields 2 and 3 are the sentences, field 5 the judgment."""
    datasets = {}
    for split, name in SICK_FILES.items():
        path = downstream / "SICK" / name
        rows = []
        for number, line in read_lines(path):
            if number > 1:
                fields = fields_of(line, path, number, 5)
                rows.append((fields[1], fields[2], _class_of(fields[4].strip(), SICK_CLASSES, path, number)))
        datasets[split] = _labelled(rows, path)
    return datasets


def read_probing(data_dir: Path, name: str) -> dict[str, Labelled]:
    """A probing task: `split TAB label TAB sentence`; labels are numbered in sorted order."""
    path = data_dir / "probing" / f"{name}.txt"
    splits: dict[str, list[tuple[str, str]]] = {"tr": [], "va": [], "te": []}
    for number, line in read_lines(path):
        fields = fields_of(line.rstrip(), path, number, 3)
        if fields[0] not in splits:
            raise DataError(f"{path}, line {number}: the split {fields[0]!r} is not tr, va or te")
        splits[fields[0]].append((fields[-1], fields[1]))
    classes = {label: number for number, label in enumerate(sorted({label for _, label in splits["tr"]}))}
    datasets = {}
    for split, short in (("train", "tr"), ("dev", "va"), ("test", "te")):
        unknown = [label for _, label in splits[short] if label not in classes]
        if not splits[short]:
            raise DataError(f"{path}: no samples of the split {short!r}")
        if unknown:
            raise DataError(f"{path}: the label {unknown[0]!r} of {short!r} does not occur in 'tr'")
        datasets[split] = _labelled([(sentence, None, classes[label]) for sentence, label in splits[short]], path)
    return datasets


def _by_split(folder: Path, pattern: str, parse: object) -> dict[str, Labelled]:
    datasets = {}
    for split in ("train", "dev", "test"):
        path = folder / pattern.format(split)
        datasets[split] = _labelled([parse(line, path, number) for number, line in read_lines(path)], path)
    return datasets


def _sst2_row(line: str, path: Path, number: int) -> Row:
    fields = fields_of(line.strip(), path, number, 2)
    return fields[0], None, _class_of(fields[1].strip(), BINARY_CLASSES, path, number)


def _sst5_row(line: str, path: Path, number: int) -> Row:
    label, _, sentence = line.strip().partition(" ")
    return sentence, None, _class_of(label, SST5_CLASSES, path, number)


def _class_of(name: str, classes: dict[str, int], path: Path, number: int) -> int:
    if name not in classes:
        raise DataError(f"{path}, line {number}: the label {name[:40]!r} is not one of {', '.join(classes)}")
    return classes[name]


def _labelled(rows: Iterable[Row], path: Path) -> Labelled:
    """Normalises white space and sorts as SentEval does: by token counts, then label."""
    tokenized = [(first.split(), None if second is None else second.split(), label) for first, second, label in rows]
    if not tokenized:
        raise DataError(f"{path}: no samples")
    tokenized.sort(key=lambda row: (len(row[0]), len(row[1] or ()), row[2]))
    pairs = tokenized[0][1] is not None
    return Labelled(
        first=[" ".join(first) for first, _, _ in tokenized],
        labels=np.array([label for _, _, label in tokenized], dtype=np.int64),
        second=[" ".join(second) for _, second, _ in tokenized] if pairs else None,
    )
