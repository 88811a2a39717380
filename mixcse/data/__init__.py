"""From files to batches: sentences are read, looked through for duplicates, tokenised, and put together.

In: names of files or of a data set; scored pairs; archives from the Hub.  Out: rows of `input_ids`, batches of
tensors, `senteval.Pairs`.  Start with `columns` and `formats` (a line of a file), then `reading`, `table`, `tokens`,
`batch`.
"""
