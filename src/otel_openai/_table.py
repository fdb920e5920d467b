"""Which methods of the client are observed. `docs/methods.md` lists all methods, and says why not the others."""

from typing import Literal, NamedTuple, TypeAlias

from otel_openai.operations._base import Operation
from otel_openai.operations.agents import FETCH_SESSION, SEND_EVENTS, SESSION
from otel_openai.operations.assistants import RUN, RUN_OUTPUTS, THREAD_RUN
from otel_openai.operations.audio import SPEECH, TRANSCRIPTIONS
from otel_openai.operations.batches import CREATE_BATCH, FETCH_BATCH
from otel_openai.operations.chat import CHAT
from otel_openai.operations.completions import COMPLETIONS
from otel_openai.operations.decisions import DECISIONS
from otel_openai.operations.embeddings import EMBEDDINGS
from otel_openai.operations.images import IMAGES
from otel_openai.operations.moderations import MODERATIONS
from otel_openai.operations.responses import COMPACT, FETCH_RESPONSE, RESPONSES
from otel_openai.operations.vector_stores import SEARCH
from otel_openai.operations.videos import EXTENSIONS, VIDEOS

Gives: TypeAlias = Literal["answer", "page", "manager"]
"""What a method returns.

answer: the answer, a stream or a raw response; of the async class a coroutine of one.
page: a page; of the async class a paginator, which asks for the page when it is awaited.
manager: a context manager that opens a stream when it is entered.
"""


class Row(NamedTuple):
    """One method, of a class and of its async twin."""

    module: str
    """The module that defines the class, so that its import is the moment to patch."""
    name: str
    """The sync class; its async twin has the prefix `Async`."""
    method: str
    operation: Operation
    gives: Gives = "answer"


_CHAT = "openai.resources.chat.completions.completions"
_RESPONSES = "openai.resources.responses.responses"
_BETA_RESPONSES = "openai.resources.beta.responses.responses"  # since 2.45
_IMAGES = "openai.resources.images"
_VIDEOS = "openai.resources.videos"  # since 2.2
_BATCHES = "openai.resources.batches"
_THREADS = "openai.resources.beta.threads.threads"
_RUNS = "openai.resources.beta.threads.runs.runs"
_AGENTS = "openai.resources.beta.agents.sessions"  # since 3.13

# What only calls methods of this table is not here: `stream` of chat, Responses and sessions (`parse` calls none),
# `*_and_poll`, tool runners.
TABLE = (
    Row(_CHAT, "Completions", "create", CHAT),
    Row(_CHAT, "Completions", "parse", CHAT),  # since 1.92
    Row("openai.resources.beta.chat.completions", "Completions", "parse", CHAT),  # before 1.92
    Row("openai.resources.completions", "Completions", "create", COMPLETIONS),
    Row(_RESPONSES, "Responses", "create", RESPONSES),
    Row(_RESPONSES, "Responses", "parse", RESPONSES),
    Row(_RESPONSES, "Responses", "retrieve", FETCH_RESPONSE),
    Row(_RESPONSES, "Responses", "compact", COMPACT),  # since 2.9
    Row(_BETA_RESPONSES, "Responses", "create", RESPONSES),
    Row(_BETA_RESPONSES, "Responses", "retrieve", FETCH_RESPONSE),
    Row(_BETA_RESPONSES, "Responses", "compact", COMPACT),
    Row("openai.resources.decisions", "Decisions", "create", DECISIONS),  # since 3.4
    Row("openai.resources.embeddings", "Embeddings", "create", EMBEDDINGS),
    Row("openai.resources.moderations", "Moderations", "create", MODERATIONS),
    Row("openai.resources.vector_stores.vector_stores", "VectorStores", "search", SEARCH, "page"),
    Row(_IMAGES, "Images", "generate", IMAGES),
    Row(_IMAGES, "Images", "edit", IMAGES),
    Row(_IMAGES, "Images", "create_variation", IMAGES),
    Row("openai.resources.audio.speech", "Speech", "create", SPEECH),
    Row("openai.resources.audio.transcriptions", "Transcriptions", "create", TRANSCRIPTIONS),
    Row("openai.resources.audio.translations", "Translations", "create", TRANSCRIPTIONS),
    Row(_VIDEOS, "Videos", "create", VIDEOS),
    Row(_VIDEOS, "Videos", "remix", VIDEOS),
    Row(_VIDEOS, "Videos", "edit", VIDEOS),
    Row(_VIDEOS, "Videos", "extend", EXTENSIONS),
    Row(_BATCHES, "Batches", "create", CREATE_BATCH),
    Row(_BATCHES, "Batches", "retrieve", FETCH_BATCH),
    Row(_THREADS, "Threads", "create_and_run", THREAD_RUN),
    Row(_THREADS, "Threads", "create_and_run_stream", THREAD_RUN, "manager"),
    Row(_RUNS, "Runs", "create", RUN),
    Row(_RUNS, "Runs", "submit_tool_outputs", RUN_OUTPUTS),
    Row(_RUNS, "Runs", "stream", RUN, "manager"),
    Row(_RUNS, "Runs", "create_and_stream", RUN, "manager"),
    Row(_RUNS, "Runs", "submit_tool_outputs_stream", RUN_OUTPUTS, "manager"),
    Row(f"{_AGENTS}.sessions", "Sessions", "create", SESSION),
    Row(f"{_AGENTS}.events", "Events", "create", SEND_EVENTS),
    Row(f"{_AGENTS}.events", "Events", "stream", FETCH_SESSION),
)
