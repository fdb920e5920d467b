"""Pieces of PromQL. They work on both ways into Prometheus, scraping and OTLP.

So `job` is the service, and nothing groups by what only one of the two ways has (`otel_scope_*`).
"""

_SERVER = 'job=~"$service", gen_ai_provider_name=~"$provider", gen_ai_request_model=~"$model"'
_FILTER = f'{_SERVER}, gen_ai_operation_name=~"$operation"'

RECENT = "5m"
CALLS = "gen_ai_client_operation_duration_seconds_count"
OPEN = f"otel_openai_active_requests{{{_FILTER}}}"
# A task that its own application cancelled, by asyncio or trio, is no failure of the server.
FAILED = 'error_type!~"|Cancelled(Error)?"'
# Not images and transcriptions, whose first output takes its time, nor sessions that are watched until there is any.
WAITED_FOR = 'gen_ai_operation_name!~"generate_content|fetch_session"'
CUT_OFF = 'otel_openai_finish_reason=~"length|max_output_tokens"'


def rate(metric: str, *having: str, over: str = "$__rate_interval") -> str:
    """The rate of what the dashboard's variables select, by every label."""
    return f"rate({metric}{{{', '.join((_FILTER, *having))}}}[{over}])"


def total(series: str, *labels: str) -> str:
    """The sum by labels."""
    return f"sum by ({', '.join(labels)}) ({series})" if labels else f"sum({series})"


def share(part: str, whole: str) -> str:
    """The share of a sum in another: 0 without the part, absent without the whole."""
    return f"({total(part)} or 0 * {total(whole)}) / ({total(whole)} > 0)"


def share_by(label: str, part: str, whole: str, *, nothing: str | None = None) -> str:
    """The shares of the parts, by a label; without parts one series of 0 named `nothing`."""
    shares = f"{total(part, label)} / on () group_left () ({total(whole)} > 0)"
    if nothing is None:
        return shares
    return f'{shares} or on () label_replace(0 * {total(whole)}, "{label}", "{nothing}", "", "")'


def quantile(level: float, histogram: str, *having: str, over: str = "$__rate_interval") -> str:
    """A quantile over everything that is selected."""
    return f"histogram_quantile({level:g}, {total(rate(f'{histogram}_bucket', *having, over=over), 'le')})"


def per_request(kind: str) -> str:
    """The average of tokens of a kind, over requests with reported usage."""
    used, requests = (
        total(rate(f"gen_ai_client_token_usage_{part}", f'gen_ai_token_type="{kind}"')) for part in ("sum", "count")
    )
    return f"{used} / ({requests} > 0)"


def headroom() -> str:
    """The share that is left of each limit.

    Servers tell what is left; the most that was left in six hours stands for the limit. Processes share a limit and
    each knows what it saw last, so the least of those counts that have called of late.
    """
    by = "gen_ai_request_model, otel_openai_ratelimit_kind"
    process = "job, instance, gen_ai_provider_name, gen_ai_request_model, server_address, server_port"
    remaining = f"otel_openai_ratelimit_remaining{{{_SERVER}}}"  # a limit is one for all operations
    now = f"{remaining} and on ({process}) rate({CALLS}[{RECENT}]) > 0"
    return f"min by ({by}) ({now}) / (max by ({by}) (max_over_time({remaining}[6h])) > 0)"
