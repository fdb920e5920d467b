"""Starts llama.cpp's own server in this process, on a free loopback port."""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

ALIAS: Final = "tiny"
_SLOTS: Final = 4  # choices of one request are computed side by side, each in a slot
_THREADS: Final = 2  # the default would be every core


@contextmanager
def serve(model: Path, *, embeddings: bool = False, template: str | None = None) -> Generator[str]:
    """Serve a model file for as long as the context is open.

    Args:
        model: A GGUF file.
        embeddings: Serve embeddings (mean pooling). Default: chat, completions and Responses.
        template: A chat template instead of the model's own.

    Yields:
        The base URL for a client of the OpenAI API.
    """
    llama: Any = importlib.import_module("xllamacpp")  # ships no types
    params = llama.CommonParams()
    params.model.path = str(model)
    params.model_alias = {ALIAS}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = _SLOTS
    params.kv_unified = True
    params.n_ctx = 4096
    params.cpuparams.n_threads = _THREADS
    params.cpuparams_batch.n_threads = _THREADS
    params.use_jinja = True
    params.warmup = False
    params.fit_params = False
    params.verbosity = 0  # nothing on stderr
    if template is not None:
        params.chat_template = template
    if embeddings:
        params.embedding = True
        params.pooling_type = llama.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    server = llama.Server(params)
    try:
        yield f"{server.listening_address}/v1"
    finally:
        del server  # the only way to stop it
