"""README and docs as data: fenced blocks, links, names of options."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
PAGES += ["CONTRIBUTING.md", "SECURITY.md", "data/sample/README.md", "benchmarks/README.md"]
BLOCK = re.compile(r"^```(\w+) ?(.*)\n((?:.*\n)*?)```$", re.MULTILINE)


def read(page: str) -> str:
    """Return the text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def prose(page: str) -> str:
    """Return a page without its fenced blocks; raise ValueError for a fence without language or end."""
    text = BLOCK.sub("", read(page))
    if "```" in text:
        raise ValueError(f"{page}: a fence is indented, or has no language or no end")
    return text


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Return the fenced blocks of a page: language, the words behind it, text."""
    return BLOCK.findall(read(page))


def options(page: str) -> set[str]:
    """Return everything in a page that looks like `--an_option`, except the options of SLURM."""
    return set(re.findall(r"(?<![\w-])--[a-zA-Z]\w*(?:-\w+)*", re.sub(r"(?m)^#SBATCH .*", "", read(page))))


def anchors(page: str) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    headings = (re.sub(r"\]\([^)]*\)", "", heading).lower() for heading in re.findall(r"(?m)^#+ (.+)$", prose(page)))
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in headings}


def dead_links(page: str) -> list[str]:
    """Return the relative links to files or headings that do not exist."""
    dead = []
    for link in re.findall(r"\]\((?!https?://|mailto:)([^)\s]+)\)", prose(page)):
        target, _, anchor = link.partition("#")
        path = (ROOT / page).parent / target if target else ROOT / page
        if not path.exists() or (anchor and anchor not in anchors(path.relative_to(ROOT))):
            dead.append(link)
    return dead
