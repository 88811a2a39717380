"""Sentences to embeddings, for users: `SentenceEncoder`, and the commands `mixcse encode` and `mixcse search`.

In: lists of sentences, files larger than memory, pipes.  Out: arrays, files of embeddings, an index to search.
Start with `sentence_encoder`; `batches` does the work in one process, `ray_engine` in several.
"""
