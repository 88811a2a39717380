"""What the entry points have to refuse, a table for each of them; test_bad_input.py runs them all."""
