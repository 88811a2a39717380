"""`python -m mixcse`, where the `mixcse` command is not on the path."""

from mixcse.cli import entry

if __name__ == "__main__":
    entry()
