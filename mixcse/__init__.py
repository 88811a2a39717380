"""MixCSE: sentence embeddings by contrastive learning with mixed negatives (AAAI 2022).

from mixcse import SentenceEncoder, contrastive_loss
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["SentenceEncoder", "SentenceIndex", "contrastive_logits", "contrastive_loss"]
_HOMES = {"SentenceEncoder": "mixcse.encoder.sentence_encoder", "SentenceIndex": "mixcse.encoder.index"}


def __getattr__(name: str) -> Any:  # torch and transformers are imported when they are needed
    if name in __all__:
        return getattr(import_module(_HOMES.get(name, "mixcse.objective")), name)
    raise AttributeError(f"module 'mixcse' has no attribute {name!r}")
