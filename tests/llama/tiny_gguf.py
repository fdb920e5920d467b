"""Builds the smallest model that llama.cpp serves: two layers of seeded random weights and a byte vocabulary.

Its answers are noise, often invalid UTF-8. What is real is everything around them: the server, its parsers, its counts.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import gguf
import numpy as np

_HIDDEN: Final = 128
_FEED_FORWARD: Final = 256
_LAYERS: Final = 2
_HEADS: Final = 4
_CONTEXT: Final = 1024
_VERSION: Final = 1  # raised when the model changes, so that a cached file of the old one is not used

_CONTROL = ("<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>")
END: Final = _CONTROL.index("<|im_end|>")
# One token that opens a tool call as far as the name, because a random model never writes that many bytes by chance.
_TOOL_TOKENS = ('<tool_call>\n{"name":', "</tool_call>")
CALL_TOOL: Final = len(_CONTROL)
_FIRST_BYTE: Final = len(_CONTROL) + len(_TOOL_TOKENS)

_CHAT_TEMPLATE = """\
{%- if tools %}<|im_start|>system
Tools, to be called as <tool_call>
{"name": <name>, "arguments": <arguments>}
</tool_call>
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% endif -%}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content or "" }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": {{ call.function.name | tojson }}, "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif -%}
"""

# The server splits what a model thinks from what it says, where its template knows of thoughts.
THINKING_TEMPLATE: Final = """\
{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.reasoning_content %}<think>
{{ message.reasoning_content }}
</think>

{% endif %}{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif -%}
"""


def byte_token(byte: int) -> int:
    """The id of the token that stands for one byte."""
    return _FIRST_BYTE + byte


def tool_bias() -> dict[str, int]:
    """The `logit_bias` that makes the random model call a tool, once, and stop.

    To be sent with `tool_choice="required"`, `parallel_tool_calls=False` and `temperature=0`: the end of the answer is
    wanted most but not allowed before a call is complete, so the grammar lets the model do nothing but call.
    """
    whitespace = {str(byte_token(ord(character))): -100 for character in "\t\n "}
    return {str(END): 100, str(CALL_TOOL): 50, **whitespace}


def build(folder: Path) -> Path:
    """The model file in this folder, made if it is not there yet (about a second, 1.5 MB)."""
    path = folder / f"tiny-{_VERSION}.gguf"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:  # a reader never sees half a file
        unfinished = Path(scratch, path.name)
        _write(unfinished)
        unfinished.replace(path)
    return path


def _write(path: Path) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    _add_sizes(writer)
    _add_vocabulary(writer)
    _add_weights(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_sizes(writer: gguf.GGUFWriter) -> None:
    writer.add_name("tiny")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(_HIDDEN)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_HIDDEN // _HEADS)


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    tokens = _vocabulary()
    kinds = [gguf.TokenType.CONTROL] * len(_CONTROL) + [gguf.TokenType.USER_DEFINED] * len(_TOOL_TOKENS)
    kinds += [gguf.TokenType.NORMAL] * (len(tokens) - len(kinds))
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(["h e"])  # the loader wants at least one
    writer.add_pad_token_id(_CONTROL.index("<pad>"))
    writer.add_bos_token_id(_CONTROL.index("<s>"))
    writer.add_eos_token_id(END)
    writer.add_chat_template(_CHAT_TEMPLATE)


def _vocabulary() -> list[str]:
    # GPT-2's alphabet: printable bytes stand for themselves, the others for code points from 256 on.
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    alphabet = [chr(byte if byte in printable else next(others)) for byte in range(256)]
    return [*_CONTROL, *_TOOL_TOKENS, *alphabet, "he"]


def _add_weights(writer: gguf.GGUFWriter) -> None:
    random = np.random.default_rng(seed=0)

    def weight(name: str, *shape: int) -> None:
        values = random.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
        writer.add_tensor(f"{name}.weight", values)

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(_HIDDEN, dtype=np.float32))

    weight("token_embd", len(_vocabulary()), _HIDDEN)
    norm("output_norm")
    for layer in range(_LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weight(f"blk.{layer}.{name}", _HIDDEN, _HIDDEN)
        weight(f"blk.{layer}.ffn_gate", _FEED_FORWARD, _HIDDEN)
        weight(f"blk.{layer}.ffn_up", _FEED_FORWARD, _HIDDEN)
        weight(f"blk.{layer}.ffn_down", _HIDDEN, _FEED_FORWARD)
        norm(f"blk.{layer}.attn_norm")
        norm(f"blk.{layer}.ffn_norm")
