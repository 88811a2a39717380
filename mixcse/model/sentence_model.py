"""The one model class: any Hugging Face encoder with a pooler, and the heads that training adds."""

import dataclasses
from contextlib import nullcontext
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from mixcse.base.errors import UserError
from mixcse.base.files import follow_umask
from mixcse.model.chunking import Chunking, in_chunks
from mixcse.model.fast_linear import fast_linear
from mixcse.model.first_token import first_token_only, is_checkpointing, layers_of_berts_kind
from mixcse.model.loading import is_causal, load_encoder, load_heads, longest_input, options_for
from mixcse.model.lora import as_peft_model, load_adapters, merged, save_adapters, with_adapters
from mixcse.model.masked_lm import losses_of_rows, masked_lm_over, mean_over_masked
from mixcse.model.modules import Settings, read_settings, within
from mixcse.model.packing import can_pack, encode_packed
from mixcse.model.pooling import NEEDS_HIDDEN_STATES, POOLERS, MLPHead, initialise_head, pool
from mixcse.model.saving import HEADS_FILE, write_sentence_transformers_files

# Keys in a trained folder's config.json: the pooler to test it with, and whether the weights of
# its `cls` head are more than the random ones of a checkpoint that came without.
RECORDED_POOLER = "sentence_pooler"
HAS_CLS_HEAD = "sentence_cls_head"


class SentenceModel(nn.Module):
    """An encoder, its tokenizer, and what turns tokens into sentence embeddings.

    The MLP head of pooler `cls` (a dense layer and tanh over the first token) is the
    encoder's own `pooler` where the architecture has one, so that a trained folder is a
    plain Hugging Face one; elsewhere it is `head`, saved beside the encoder in
    `mixcse_heads.safetensors`.

    Attributes:
        encoder: what `AutoModel` gave; anything that returns `last_hidden_state`.  Of a model of
            peft's, the one with the adapters in its layers.
        adapters: that model of peft's, if there is one.
        head: the MLP head where the encoder has no pooler, else None.
        masked_lm: the same encoder under its masked-LM head, for the auxiliary loss.
        pooler: the pooler of `forward`, which training uses.
        has_cls_head: whether the weights of the `cls` head are more than random.
        chunking: how `forward` cuts a batch.
        packed: whether `forward` leaves padding out altogether, where the encoder allows it.
        is_causal: whether it is a decoder, whose tokens see only what is before them.
        prompt: before each text, in training and in use.
        include_prompt: whether the prompt's tokens are pooled too.
        lower_case: whether texts are lower-cased, in training and in use.
        unpooled: how many tokens at the start of a row `forward` leaves out of pooling.
        settings: how a sentence-transformers folder says that it is to be used; None of others.
        following: what embeddings in use go through after the pooler; nothing in training.
        takes_types: whether the types of tokens, which are 0, make a difference to it (GPT-2 with BERT's tokenizer).
    """

    def __init__(self, encoder: PreTrainedModel, tokenizer: Tokenizer, *, pooler: str = "cls_before_pooler") -> None:
        super().__init__()
        self._set_encoder(encoder)
        self.is_causal = is_causal(self.encoder)
        self.tokenizer = tokenizer
        self.pooler = pooler
        self.head: MLPHead | None = None
        self.masked_lm: PreTrainedModel | None = None
        self.has_cls_head = self._owns_pooler()
        self.chunking = Chunking()
        self.packed = False
        self.prompt, self.include_prompt, self.lower_case, self.unpooled = "", True, False, 0
        self.settings: Settings | None = None
        self.following = nn.Sequential()
        accepted = signature(self.encoder.forward).parameters
        self.takes_types = "token_type_ids" in {*tokenizer.model_input_names} & {*accepted} and self.is_causal

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        dropout: float | None = None,
        usual_dropout: float | None = None,
        dtype: torch.dtype = torch.float32,
        **hub: Any,
    ) -> "SentenceModel":
        """Load a folder or a Hub id; arguments are those of `load_encoder`.

        Raises:
            UserError: nothing loadable is there, encoder weights are missing in it, or it is no encoder.
        """
        name = str(name_or_path)
        hub = options_for(name, hub) if name.strip() else hub
        settings = read_settings(name, **hub) if name.strip() else None
        if settings and settings.encoder:  # as the first versions of that library had it
            name, hub = within(name, settings.encoder, hub)
        how = {"dropout": dropout, "usual_dropout": usual_dropout, "dtype": dtype}
        encoder, tokenizer, missing = load_encoder(name, **how, **hub)
        model = cls(encoder, tokenizer)
        model.settings = settings
        if settings:
            model.prompt, model.include_prompt = settings.prompt, settings.include_prompt
            model.lower_case = settings.lower_case
        model.has_cls_head = model._owns_pooler() and not missing and getattr(encoder.config, HAS_CLS_HEAD, True)
        heads = load_heads(Path(name) / HEADS_FILE)
        if any(key.startswith("head.") for key in heads):
            model.head = MLPHead(encoder.config.hidden_size)
            try:
                model._load_heads(heads)
            except (KeyError, RuntimeError) as error:
                raise UserError(f"{Path(name) / HEADS_FILE} does not fit the encoder ({error})") from error
            model.has_cls_head = True
        if model.recorded_pooler not in (None, *POOLERS):
            raise UserError(f"{name}: config.json records the unknown pooler {model.recorded_pooler!r}")
        return model

    @property
    def recorded_pooler(self) -> str | None:
        """The pooler that a trained folder says to test it with."""
        return getattr(self.encoder.config, RECORDED_POOLER, None)

    @property
    def max_length(self) -> int:
        """Tokens in the longest input the encoder takes, special ones included."""
        limit = longest_input(self.encoder, self.tokenizer)
        return min(limit, (self.settings and self.settings.max_length) or limit)

    @property
    def dim(self) -> int:
        """The length of an embedding in use."""
        made = [module.out_features for module in self.following.modules() if isinstance(module, nn.Linear)]
        return made[-1] if made else self.encoder.config.hidden_size

    def gradient_checkpointing_enable(self, **options: Any) -> None:
        """The encoder's, for `--gradient_checkpointing`: the hook of older transformers."""
        self.encoder.gradient_checkpointing_enable(**options)

    def activation_checkpointing_enable(self, **options: Any) -> None:
        """The same hook of newer transformers."""
        older = self.encoder.gradient_checkpointing_enable
        getattr(self.encoder, "activation_checkpointing_enable", older)(**options)

    def prepare_training(self, pooler: str, *, mlm_from: str | None = None, **hub: Any) -> None:
        """Chooses the training pooler and adds the heads that training needs.

        Pooler `cls` gets a freshly initialised head, as released (also when the checkpoint
        has a trained one).  Parameters that the loss does not reach are frozen.

        Args:
            mlm_from: the checkpoint whose masked-LM head to use; it is the encoder's own.
        """
        self.pooler = pooler
        if pooler == "cls":
            if not self._owns_pooler():
                self.head = MLPHead(self.encoder.config.hidden_size)
            std = getattr(self.encoder.config, "initializer_range", 0.02)
            initialise_head((self.head or self.encoder.pooler).requires_grad_(True), std)
            self.has_cls_head = True
        elif self._owns_pooler():
            self.encoder.pooler.requires_grad_(False)
        if mlm_from is not None:
            self.masked_lm = masked_lm_over(self.encoder, mlm_from, **hub)

    def add_adapters(self, **options: Any) -> None:
        """From now on, adapters and heads alone are trained; `options` are those of `with_adapters`."""
        self._set_encoder(with_adapters(self.encoder, **options))
        if self._owns_pooler():
            self.encoder.pooler.requires_grad_(self.pooler == "cls")

    def _set_encoder(self, encoder: PreTrainedModel) -> None:
        # Not a submodule: its parameters are the encoder's.
        object.__setattr__(self, "adapters", as_peft_model(encoder))
        self.encoder = encoder if self.adapters is None else encoder.get_base_model()

    def embed(self, input_ids: Tensor, attention_mask: Tensor, pooler: str, unpooled: int = 0) -> Tensor:
        """Embeddings of rows: (rows, length) twice -> (rows, d); `unpooled` as for `pool`."""
        with first_token_only(self.encoder, pooler):
            outputs = self.encoder(
                input_ids=input_ids,
                attention_mask=self._mask(attention_mask),
                output_hidden_states=pooler in NEEDS_HIDDEN_STATES,
                **({"token_type_ids": torch.zeros_like(input_ids)} if self.takes_types else {}),
                **({"use_cache": False} if self.is_causal else {}),  # of keys and values, to go on writing
            )
        return pool(pooler, outputs, attention_mask, self.head, unpooled=unpooled)

    def _mask(self, attention_mask: Tensor) -> Tensor:
        """As the encoder takes it without a look at its content, for which the host would wait for the GPU."""
        known = layers_of_berts_kind(self.encoder) is not None and self.encoder.config._attn_implementation == "sdpa"
        if attention_mask.device.type != "cuda" or not known or self.is_causal:
            return attention_mask
        return attention_mask.bool()[:, None, None].expand(-1, 1, attention_mask.size(1), -1)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        mlm_input_ids: Tensor | None = None,
        mlm_labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Embeds all rows of a batch: (batch, num_sent, length) each.

        A batch of single sentences (num_sent 1) is doubled here, on the device: dropout
        makes two views of each.

        Returns:
            `embeddings`, (batch, 2 or 3, d); with `mlm_*`, also the scalar `mlm_loss`.
        """
        if input_ids.size(1) == 1:
            input_ids, attention_mask = (tensor.expand(-1, 2, -1) for tensor in (input_ids, attention_mask))
        batch, num_sent, length = input_ids.shape

        def rows(tensor: Tensor) -> Tensor:  # (batch, num_sent, length) -> (num_sent * batch, length)
            return tensor.transpose(0, 1).reshape(-1, length)

        packed = self.packed and can_pack(self.encoder)
        chunking = dataclasses.replace(self.chunking, count=1) if packed else self.chunking
        linear = nullcontext if is_checkpointing(self.encoder) else fast_linear

        def embed(attention_mask: Tensor, input_ids: Tensor) -> Tensor:
            with linear():
                if not packed:
                    return self.embed(input_ids, attention_mask, self.pooler, self.unpooled)
                outputs = encode_packed(self.encoder, input_ids, attention_mask, self.pooler)
                return pool(self.pooler, outputs, attention_mask, self.head, unpooled=self.unpooled)

        z = in_chunks(embed, chunking, rows(attention_mask), rows(input_ids))
        outputs = {"embeddings": z.view(num_sent, batch, -1).transpose(0, 1)}
        if mlm_input_ids is not None:
            predict = partial(losses_of_rows, self.masked_lm, self._mask)
            losses = in_chunks(predict, self.chunking, *map(rows, (attention_mask, mlm_input_ids, mlm_labels)))
            outputs["mlm_loss"] = mean_over_masked(losses, mlm_labels)
        return outputs

    def save_pretrained(self, folder: str | Path, *, recorded_pooler: str) -> None:
        """Writes a plain Hugging Face folder that sentence-transformers loads too, and heads without a place there.

        Args:
            recorded_pooler: the pooler to test the model with; kept in `config.json`.
        """
        setattr(self.encoder.config, RECORDED_POOLER, recorded_pooler)
        setattr(self.encoder.config, HAS_CLS_HEAD, self.has_cls_head)
        (self.encoder if self.adapters is None else merged(self.adapters)).save_pretrained(folder)
        if self.adapters is not None:
            save_adapters(self.adapters, folder)
        self.tokenizer.padding_side = "right"  # as `pad_rows` pads whatever the tokenizer prefers
        if self.tokenizer.is_fast:  # what the last call asked for would be written too
            self.tokenizer.backend_tokenizer.no_truncation()
            self.tokenizer.backend_tokenizer.no_padding()
        self.tokenizer.save_pretrained(folder)
        heads = {name: tensor.contiguous().cpu() for name, tensor in self._heads().items()}
        if heads:
            save_file(heads, Path(folder) / HEADS_FILE)
        write_sentence_transformers_files(
            folder, self.encoder.config, max_length=self.max_length, pooler=recorded_pooler, head=self.tanh_head(),
            prompt=self.prompt, include_prompt=self.include_prompt, lower_case=self.lower_case,
        )  # fmt: skip
        for file in Path(folder).rglob("*.safetensors"):
            follow_umask(file)

    def load_weights(self, folder: str | Path) -> None:
        """Takes over the weights that `save_pretrained` wrote; the architecture is the same."""
        saved = type(self.encoder).from_pretrained(str(folder), dtype=torch.float32)
        if self.adapters is None:
            self.encoder.load_state_dict(saved.state_dict())
        else:  # the layers' own weights are frozen, and as they were
            load_adapters(self.adapters, folder)
            trained = {name: p for name, p in self.encoder.named_parameters() if p.requires_grad}
            with torch.no_grad():
                for name in trained.keys() & saved.state_dict().keys():
                    trained[name].copy_(saved.state_dict()[name])
        self._load_heads(load_heads(Path(folder) / HEADS_FILE))

    def tanh_head(self) -> nn.Linear | None:
        """The linear layer of a trained `cls` head that is followed by tanh; None if there is no such head."""
        if not self.has_cls_head or self.head is not None:
            return self.head and self.head[0]
        dense, activation = (getattr(self.encoder.pooler, name, None) for name in ("dense", "activation"))
        return dense if isinstance(dense, nn.Linear) and isinstance(activation, nn.Tanh) else None

    def _owns_pooler(self) -> bool:
        return getattr(self.encoder, "pooler", None) is not None

    def _heads(self) -> dict[str, Tensor]:
        """The parameters outside the encoder, by name."""
        inside = {id(parameter) for parameter in self.encoder.parameters()}
        return {name: p.detach() for name, p in self.named_parameters() if id(p) not in inside}

    def _load_heads(self, saved: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self._heads().items():
                parameter.copy_(saved[name])
