"""bash for the docs' blocks, where `python` and `mixcse` are forks of a server that has imported all libraries."""

import gc
import json
import os
import runpy
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = """#!{python} -IS
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
words = [*{first}, *sys.argv[1:]]
socket.send_fds(server, [json.dumps([words, os.getcwd(), dict(os.environ)]).encode()], [0, 1, 2])
sys.exit(int(server.recv(3) or 1))
"""


@contextmanager
def served_programs(folder: Path) -> Iterator[str]:
    """Give the PATH of the programs, which lie in this folder."""
    address = str(folder / "socket")
    for name, first in {"python": [], "mixcse": ["-m", "mixcse"]}.items():
        (folder / name).write_text(PROGRAM.format(python=sys.executable, address=address, first=first))
        (folder / name).chmod(0o755)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "HF_DATASETS_CACHE": str(folder / "cache")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, __file__, address], env=env, **pipes) as server:
        assert server.stdout.readline() == b"ready\n"
        yield f"{folder}:{os.environ['PATH']}"


def run_bash(block: str, path: str, *flags: str) -> None:
    """Run a block in the current folder; raise AssertionError for the first command that fails."""
    script = ["bash", *flags, "-e", "-o", "pipefail", "-c", block]
    done = subprocess.run(script, env=os.environ | {"PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, f"{block}{done.stderr}"


class Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Answer each call in a process of its own."""


class Call(socketserver.BaseRequestHandler):
    """Run `python WORDS` with the caller's streams, folder and environment; send its exit code."""

    def handle(self) -> None:
        message, streams, *_ = socket.recv_fds(self.request, 2**20, 3)
        words, folder, environment = json.loads(message)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)
        os.chdir(folder)
        os.environ.update(environment)
        sys.argv, code = words[words[0] == "-m" :], 1
        try:
            (runpy.run_module if words[0] == "-m" else runpy.run_path)(sys.argv[0], run_name="__main__")
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        finally:
            sys.stdout.flush()
            self.request.send(str(code).encode())


if __name__ == "__main__":
    import pytest
    from conftest import make_toy_senteval

    import mixcse.encoder.search_command
    import mixcse.evaluate.scores
    import mixcse.train.ending
    import mixcse.train.run

    mixcse.train.ending.draw = lambda folder: None  # tests/report/test_report.py draws
    make_toy_senteval(Path(sys.argv[1]).parent, pytest.MonkeyPatch())
    gc.freeze()  # a fork has less to look through
    with Server(sys.argv[1], Call) as server:
        threading.Thread(target=lambda: os.read(0, 1) or os._exit(0), daemon=True).start()  # ends with the tests
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        server.serve_forever()
