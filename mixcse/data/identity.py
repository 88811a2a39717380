"""A hash of everything in a tokenizer that its tokens depend on, for caches and fingerprints."""

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import PreTrainedTokenizerBase

LEFT_BY_CALLS = ("truncation", "padding")  # parts of tokenizer.json that each call sets
PLACES = ("name_or_path", "tokenizer_file", "vocab_file")  # in tokenizer_config.json: where it was loaded from


def tokenizer_identity(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a hash of the tokenizer's files, by content: that of a copied or renamed folder is the same."""
    digest = hashlib.sha256(type(tokenizer).__name__.encode())
    if tokenizer.is_fast:
        backend = json.loads(tokenizer.backend_tokenizer.to_str())
        kept = {key: value for key, value in backend.items() if key not in LEFT_BY_CALLS}
        digest.update(json.dumps([tokenizer.truncation_side, kept], sort_keys=True).encode())
        return digest.hexdigest()
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        for file in sorted(Path(folder).iterdir()):
            content = file.read_bytes()
            if file.name == "tokenizer_config.json":
                settings = {key: value for key, value in json.loads(content).items() if key not in PLACES}
                content = json.dumps(settings, sort_keys=True).encode()
            digest.update(file.name.encode() + content)
    return digest.hexdigest()
