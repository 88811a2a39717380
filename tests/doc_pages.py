"""README and docs as data: their snippets, links, headings, and the options that they name."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
PAGES += ["CONTRIBUTING.md", "SECURITY.md", "data/sample/README.md", "benchmarks/README.md"]

_FENCE = re.compile(r"^( *)```(.*)$")
_OPTION = re.compile(r"(?<![\w-])--[a-zA-Z]\w*(?:-\w+)*")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Snippet:
    """A fenced block.

    Attributes:
        page: its path in the repository.
        line: of its first line of content, from 1.
        language: the first word behind the fence.
        file: the second one: the block shows this file, which later blocks of the page read.
        text: what is between the fences.
    """

    page: str
    line: int
    language: str
    file: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def snippets(page: str) -> list[Snippet]:
    """All fenced blocks, in their order.  Raises ValueError for a fence that is not closed."""
    found: list[Snippet] = []
    opened: tuple[int, str, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(read(page).splitlines(), start=1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, lines = (number + 1, fence[1], fence[2]), []
        elif opened and fence and not fence[2]:
            start, _, words = opened
            language, _, file = words.partition(" ")
            found.append(Snippet(page, start, language, file.strip(), "\n".join(lines) + "\n"))
            opened = None
        elif opened:
            lines.append(line.removeprefix(opened[1]))
    if opened:
        raise ValueError(f"{page}:{opened[0] - 1}: this block is not closed")
    return found


def prose(page: str) -> str:
    """The page without its fenced blocks; their lines stay, empty."""
    kept, inside = [], False
    for line in read(page).splitlines():
        fence = _FENCE.match(line)
        kept.append("" if inside or fence else line)
        inside ^= bool(fence)
    return "\n".join(kept)


def options(text: str) -> set[str]:
    """Everything that looks like `--an_option`, but what is said to SLURM."""
    return set(_OPTION.findall(re.sub(r"^#SBATCH .*", "", text, flags=re.MULTILINE)))


def links(page: str) -> list[str]:
    return _LINK.findall(prose(page))


def anchors(page: str) -> set[str]:
    """What `#…` may name, as GitHub makes it of the headings."""
    headings = (re.sub(r"[`*]|\]\([^)]*\)|\[", "", heading) for heading in _HEADING.findall(prose(page)))
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def dead_links(page: str) -> list[str]:
    """Relative links to files or headings that are not there."""
    dead = []
    for link in links(page):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        path = (ROOT / page).parent / target if target else ROOT / page
        named = path.resolve().relative_to(ROOT.resolve()).as_posix() if path.exists() else None
        if named is None or (anchor and (not named.endswith(".md") or anchor not in anchors(named))):
            dead.append(link)
    return dead


def named_files(page: str) -> list[str]:
    """Paths of the repository in `code` of the prose, such as `mixcse/objective.py`."""
    return re.findall(r"`((?:mixcse|tests|benchmarks|docs|SentEval/senteval)/[\w/.]+)`", prose(page))
