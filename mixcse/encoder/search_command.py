"""`mixcse search`: find the sentences of a corpus that are closest to a query."""

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from mixcse.base.console import OneLineParser, WithExamples, quiet_libraries, say
from mixcse.base.errors import UserError
from mixcse.base.fields import at_least, check_range, within
from mixcse.base.files import check_place
from mixcse.data.formats import half_character
from mixcse.data.reading import iter_sentences
from mixcse.encoder.command_options import add_encoder_options, load_encoder

QUERIES_AT_ONCE = 256  # of a pipe; on a terminal each line is answered as it comes
EXAMPLES = """examples:
  {prog} --model out --corpus sentences.txt "a cat sits on the mat"
  {prog} --model out --corpus sentences.txt --save_index index "a cat" "two dogs" --top_k 3
  cat queries.txt | {prog} --model out --index index --threshold 0.8 > hits.jsonl"""


def main(argv: list[str], prog: str = "mixcse search") -> None:
    """Search as the command line says; raise UserError for what the user can put right."""
    options = _parse(argv, prog)
    quiet_libraries()
    encoder = load_encoder(options)
    if options.index:
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
    in_ascii = (sys.stdout.encoding or "utf-8").lower() != "utf-8"
    for queries in _groups_of_queries(options):
        found = encoder.search(queries, options.top_k, options.threshold)
        for query, hits in zip(queries, found, strict=True):
            for sentence, score, position in hits:
                hit = {"query": query, "score": round(score, 6), "position": position, "sentence": sentence}
                sys.stdout.write(json.dumps(hit, ensure_ascii=in_ascii) + "\n")
        sys.stdout.flush()


def _groups_of_queries(options: argparse.Namespace) -> Iterator[list[str]]:
    """Yield the queries of the command line, else those of standard input, some at a time."""
    if options.queries:
        yield options.queries
    elif not (options.save_index and sys.stdin.isatty()):
        lines = (line for line in iter_sentences("-") if line.strip())
        at_once = 1 if sys.stdin.isatty() else QUERIES_AT_ONCE
        if not (first := list(islice(lines, at_once))) and not options.save_index:
            raise UserError("standard input: no queries in it; give some there or as arguments")
        yield from chain([first], iter(lambda: list(islice(lines, at_once)), []))


def _parse(argv: list[str], prog: str) -> argparse.Namespace:
    parser = OneLineParser(
        prog=prog,
        description="Find the sentences of a corpus that are closest to a query, by cosine.\n"
        "The output has a JSON line for each hit, the best first.",
        epilog=EXAMPLES.format(prog=prog),
        formatter_class=WithExamples,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("queries", nargs="*", default=[], metavar="QUERY", help="sentences to look for (default: standard input)")
    add("--corpus", metavar="FILE", help="sentences to search: .txt, .csv, .jsonl, .parquet, …, or .gz")
    add("--text_column", metavar="NAME", help="column of --corpus with the sentences (default: found by its name)")
    add("--corpus_prompt", metavar="TEXT", help="prompt of the corpus, if --prompt is for queries (default: --prompt)")
    add("--index", metavar="DIR", help="an index that --save_index wrote, instead of --corpus")
    add("--save_index", metavar="DIR", help="keep the index of --corpus in this folder")
    add("--top_k", type=int, default=5, metavar="K", help="largest number of hits of a query")
    add("--threshold", type=float, metavar="X", help="lowest cosine of a hit, -1 to 1")
    add_encoder_options(parser)
    options = parser.parse_intermixed_args(argv)
    for name in ("corpus", "index", "save_index"):
        if getattr(options, name) == "":
            raise UserError(f"--{name} is empty; name a {'file' if name == 'corpus' else 'folder'}")
    if (options.corpus is None) == (options.index is None):
        raise UserError("give --corpus FILE or --index DIR: one of the two says what to search")
    if options.index and (options.save_index or options.text_column or options.corpus_prompt is not None):
        raise UserError("--save_index, --text_column and --corpus_prompt go with --corpus, not with --index")
    if options.save_index:
        check_place(Path(options.save_index), "--save_index")
    if options.corpus == "-" and not options.queries and not options.save_index:
        raise UserError("--corpus - takes standard input, which leaves no queries; give some as arguments")
    if not all(query.strip() for query in options.queries):
        raise UserError("a query on the command line is empty; give a sentence to look for")
    if fault := half_character(options.queries):
        raise UserError(f"a query on the command line is not UTF-8 ({fault})")
    check_range("top_k", options.top_k, at_least(1))
    check_range("threshold", options.threshold, within(-1, 1))
    return options
