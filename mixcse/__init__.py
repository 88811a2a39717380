"""MixCSE: sentence embeddings by contrastive learning with mixed negatives (AAAI 2022).

from mixcse import SentenceEncoder, contrastive_loss
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["SentenceEncoder", "SentenceIndex", "contrastive_logits", "contrastive_loss"]


def __getattr__(name: str) -> Any:  # torch and transformers are imported when they are needed
    if name == "SentenceEncoder":
        from mixcse.encoder.sentence_encoder import SentenceEncoder

        return SentenceEncoder
    if name == "SentenceIndex":
        from mixcse.encoder.index import SentenceIndex

        return SentenceIndex
    if name in ("contrastive_logits", "contrastive_loss"):
        from mixcse import objective

        return getattr(objective, name)
    raise AttributeError(f"module 'mixcse' has no attribute {name!r}")
