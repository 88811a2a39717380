"""The programs behind `mixcse NAME` that have no other home; each has a `main(argv, prog)`."""
