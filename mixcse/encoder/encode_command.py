"""`mixcse encode`: sentences of a file or pipe to embeddings in a file or pipe."""

import argparse
import os
import sys
from pathlib import Path

from mixcse.base.console import OneLineParser, WithExamples, quiet_libraries, say
from mixcse.base.errors import UserError, first_line
from mixcse.base.fields import at_least, check_range
from mixcse.encoder.command_options import add_encoder_options, load_encoder

EXAMPLES = """examples:
  {prog} --model out sentences.txt --output embeddings.npy
  {prog} --model out corpus.jsonl --text_column body --output embeddings.parquet --normalize
  cat sentences.txt | {prog} --model out > embeddings.jsonl
  echo "A cat sits." | {prog} --model out --truncate_dim 8"""


def main(argv: list[str], prog: str = "mixcse encode") -> None:
    """Encodes as the command line says; raises UserError for what the user can put right."""
    options = _parse(argv, prog)
    if options.engine == "ray":
        _encode_with_ray(options)
        return
    quiet_libraries()
    encoder = load_encoder(options)
    if options.truncate_dim is not None and not 1 <= options.truncate_dim <= encoder.dim:
        raise UserError(f"--truncate_dim must be from 1 to {encoder.dim}, not {options.truncate_dim}")
    count = encoder.encode_file(
        options.input,
        options.output,
        text_column=options.text_column,
        batch_size=options.batch_size,
        show_progress=options.output != "-",
        normalize=options.normalize,
        truncate_dim=options.truncate_dim,
    )
    if options.output != "-":
        say(f"{count:,} embeddings of {options.truncate_dim or encoder.dim} dimensions in {options.output}")


def _encode_with_ray(options: argparse.Namespace) -> None:
    if "-" in (options.input, options.output):
        raise UserError("--engine ray reads files and writes parts: name FILE and --output DIR, not -")
    if options.input.rstrip("/") == options.output.rstrip("/"):
        raise UserError(f"--output {options.output} is what is read; name another folder")
    os.environ |= {"RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_DATA_LOG_LEVEL": "CRITICAL"}  # read when Ray is imported
    try:
        from mixcse.encoder.ray_engine import encode
    except ImportError as error:
        raise UserError('--engine ray needs Ray: pip install "ray[data]"') from error
    try:
        encode(options)
    except (ImportError, ValueError, FileExistsError, ConnectionError) as error:  # of URIs, places and clusters
        raise UserError(f"--engine ray: {first_line(error)}") from error


def _parse(argv: list[str], prog: str) -> argparse.Namespace:
    parser = OneLineParser(
        prog=prog,
        description="Turns sentences into embeddings.  Memory stays flat, however long the file.",
        epilog=EXAMPLES.format(prog=prog),
        formatter_class=WithExamples,
        allow_abbrev=False,
    )
    parser.add_argument(
        "input",
        nargs="?",
        default="-",
        metavar="FILE",
        help=".txt (a sentence a line), .csv, .tsv, .json, .jsonl or .parquet, each also .gz; - is standard input",
    )
    parser.add_argument(
        "--output",
        default="-",
        metavar="FILE",
        help=".npy, .parquet or .jsonl; - is standard output, as JSON lines",
    )
    parser.add_argument("--text_column", metavar="NAME", help="column with the sentences (default: found by its name)")
    parser.add_argument("--normalize", action="store_true", help="scale embeddings to length 1")
    parser.add_argument("--truncate_dim", type=int, metavar="N", help="keep the first N dimensions only")
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="ray: several processes, GPUs or machines; FILE is a file, a glob in quotes, a folder or a URI such as "
        "s3://…; --output is a folder or URI",
    )
    parser.add_argument("--processes", type=int, metavar="N", help="with --engine ray: workers at most")
    add_encoder_options(parser)
    options = parser.parse_intermixed_args(argv)
    check_range("processes", options.processes, at_least(1))
    if options.processes is not None and options.engine != "ray":
        raise UserError("--processes needs --engine ray; without it one process uses all cores")
    if not options.input:
        raise UserError("the name of the file to encode is empty; - is standard input")
    from mixcse.encoder.stream import WRITERS  # not for help: it imports numpy

    if options.output != "-" and options.engine == "local" and Path(options.output).suffix.lower() not in WRITERS:
        raise UserError(f"--output {options.output}: expected {', '.join(WRITERS)}, or - for standard output")
    if options.input == "-" and sys.stdin.isatty():
        say("reading sentences from the terminal, a line each; Ctrl-D ends them")
    return options
