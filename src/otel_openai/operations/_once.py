"""What is counted once in a process, however often it is looked at: the usage of a batch, or of a turn of an agent."""

import contextlib

_MAX_SEEN = 10_000
_seen: dict[tuple[str, ...], object] = {}  # the oldest first


def is_first(*key: str) -> bool:
    """True once for each key, in any thread, without a lock."""
    mark = object()
    if _seen.setdefault(key, mark) is not mark:
        return False
    while len(_seen) > _MAX_SEEN:
        with contextlib.suppress(KeyError, RuntimeError, StopIteration):  # another thread makes room, too
            del _seen[next(iter(_seen))]
    return True
