"""Tables of the quirks in `vllm`, `llamacpp` and `hosted`, for tests that run over all of them.

A dialect is a function that returns the reply of a real server; its docstring says what is odd about it. Keys are
``vllm.engine_died``, ``hosted.azure_stream`` ...
"""

from collections.abc import Callable

from .reply import Reply

Dialect = Callable[[], Reply]
Table = dict[str, Dialect]

CHAT: Table = {}
"""Plain answers to a chat completion, all with status 200."""

CHAT_STREAMS: Table = {}
"""Answers to a streamed chat completion, all with status 200; some fail on the way."""

RESPONSES_STREAMS: Table = {}
"""Answers to a streamed Response."""

ERRORS: Table = {}
"""Answers with an error status."""


def dialect(table: Table) -> Callable[[Dialect], Dialect]:
    """Enter a function into a table."""

    def enter(function: Dialect) -> Dialect:
        table[f"{function.__module__.rpartition('.')[2]}.{function.__name__}"] = function
        return function

    return enter
