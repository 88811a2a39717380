"""An encoder, its pooler and its heads: loaded, run with less work, saved.

In: a folder or Hub id; token ids and masks.  Out: `SentenceModel`, embeddings of rows, a folder that other libraries
load too.  Start with `sentence_model`; `packing`, `first_token` and `chunking` are what a step leaves out.
"""
