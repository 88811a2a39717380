"""`mixcse search`: the sentences of a corpus that are closest to a query."""

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from mixcse.base.console import OneLineParser, WithExamples, quiet_libraries, say
from mixcse.base.errors import UserError
from mixcse.base.files import check_place
from mixcse.data.formats import half_character
from mixcse.data.reading import iter_sentences
from mixcse.encoder.command_options import add_encoder_options, load_encoder

if TYPE_CHECKING:
    from mixcse.encoder.sentence_encoder import SentenceEncoder

QUERIES_AT_ONCE = 256  # of a pipe; on a terminal each line is answered as it comes
EXAMPLES = """examples:
  {prog} --model out --corpus sentences.txt "a cat sits on the mat"
  {prog} --model out --corpus sentences.txt --save_index index "a cat" "two dogs" --top_k 3
  cat queries.txt | {prog} --model out --index index --threshold 0.8 > hits.jsonl"""


def main(argv: list[str], prog: str = "mixcse search") -> None:
    """Searches as the command line says; raises UserError for what the user can put right."""
    options = _parse(argv, prog)
    quiet_libraries()
    encoder = load_encoder(options)
    if options.index is not None:
        encoder.load_index(options.index)
    else:
        encoder.build_index(
            options.corpus, text_column=options.text_column, show_progress=True, prompt=options.corpus_prompt
        )
        if not any(sentence.as_py().strip() for sentence in encoder.index.sentences):
            raise UserError(f"--corpus {options.corpus}: no sentences in it")
    if options.save_index:
        encoder.index.save(options.save_index)
        say(f"index of {len(encoder.index):,} sentences in {options.save_index}")
    for queries in _groups(options):
        _print_hits(encoder, queries, options)


def _print_hits(encoder: "SentenceEncoder", queries: list[str], options: argparse.Namespace) -> None:
    found = encoder.search(queries, top_k=options.top_k, threshold=options.threshold)
    for query, hits in zip(queries, found, strict=True):
        for hit in hits:
            line = {"query": query, "score": round(hit.score, 6), "position": hit.position, "sentence": hit.sentence}
            sys.stdout.write(json.dumps(line, ensure_ascii=(sys.stdout.encoding or "utf-8").lower() != "utf-8") + "\n")
    sys.stdout.flush()


def _groups(options: argparse.Namespace) -> Iterator[list[str]]:
    """The queries of the command line, or those of standard input, some at a time."""
    if options.queries:
        yield options.queries
        return
    if options.save_index and (options.corpus == "-" or sys.stdin.isatty()):
        return
    at_once = 1 if sys.stdin.isatty() else QUERIES_AT_ONCE
    lines = (line for line in iter_sentences("-") if line.strip())
    group = list(islice(lines, at_once))
    if not group and not options.save_index:
        raise UserError("standard input: no queries in it; give some there or as arguments")
    while group:
        yield group
        group = list(islice(lines, at_once))


def _parse(argv: list[str], prog: str) -> argparse.Namespace:
    parser = OneLineParser(
        prog=prog,
        description="Finds the closest sentences of a corpus, by cosine.\nA JSON line for each hit, the best first.",
        epilog=EXAMPLES.format(prog=prog),
        formatter_class=WithExamples,
        allow_abbrev=False,
    )
    parser.add_argument(
        "queries",
        nargs="*",
        default=[],
        metavar="QUERY",
        help="sentences to look for (default: those of standard input)",
    )
    parser.add_argument("--corpus", metavar="FILE", help="sentences to search: .txt, .csv, .jsonl, .parquet, …, or .gz")
    parser.add_argument("--text_column", metavar="NAME", help="of --corpus (default: the first)")
    parser.add_argument(
        "--corpus_prompt",
        metavar="TEXT",
        help="before its sentences, where --prompt is for queries alone (default: --prompt)",
    )
    parser.add_argument("--index", metavar="DIR", help="an index that --save_index wrote, instead of --corpus")
    parser.add_argument("--save_index", metavar="DIR", help="keep the index of --corpus for the next time")
    parser.add_argument("--top_k", type=int, default=5, metavar="K", help="hits for a query at most")
    parser.add_argument("--threshold", type=float, metavar="X", help="cosine of a hit at least, -1 to 1")
    add_encoder_options(parser)
    options = parser.parse_intermixed_args(argv)
    for name in ("corpus", "index", "save_index"):
        if getattr(options, name) == "":
            raise UserError(f"--{name} is empty; name a {'file' if name == 'corpus' else 'folder'}")
    if options.save_index:
        check_place(Path(options.save_index), "--save_index")
    if not all(query.strip() for query in options.queries):
        raise UserError("a query on the command line is empty; give a sentence to look for")
    if (options.corpus is None) == (options.index is None):
        raise UserError("give --corpus FILE or --index DIR: one of the two says what to search")
    if options.index and (options.save_index or options.text_column or options.corpus_prompt is not None):
        raise UserError("--save_index, --text_column and --corpus_prompt go with --corpus, not with --index")
    if options.corpus == "-" and not options.queries and not options.save_index:
        raise UserError("--corpus - takes standard input, which leaves no queries; give some as arguments")
    if fault := half_character(options.queries):
        raise UserError(f"a query on the command line is not UTF-8 ({fault})")
    if options.top_k < 1:
        raise UserError(f"--top_k must be at least 1, not {options.top_k}")
    if options.threshold is not None and not -1 <= options.threshold <= 1:
        raise UserError(f"--threshold must lie in -1 to 1, not {options.threshold}")
    return options
