"""The overview dashboard: what it asks Prometheus for, and what to do when an answer looks bad."""

from model import Panel, Query, Row, Variable
from promql import (
    CALLS,
    CUT_OFF,
    FAILED,
    OPEN,
    RECENT,
    WAITED_FOR,
    headroom,
    per_request,
    quantile,
    rate,
    share,
    share_by,
    total,
)

_DURATION = "gen_ai_client_operation_duration_seconds"
_FIRST_CHUNK = "gen_ai_client_operation_time_to_first_chunk_seconds"
_FINISH_REASONS = "otel_openai_finish_reasons_total"
_STREAMS = "otel_openai_streams_total"
_INPUT, _OUTPUT, _CACHED, _REASONING = (
    f"gen_ai_client_inference_usage_{kind}_tokens_total"
    for kind in ("input", "output", "cache_read_input", "reasoning_output")
)
_QUANTILES = (0.5, 0.95, 0.99)

VARIABLES = (
    Variable("service", "Service", f"label_values({CALLS}, job)"),
    Variable("provider", "Provider", f'label_values({CALLS}{{job=~"$service"}}, gen_ai_provider_name)'),
    Variable(
        "model",
        "Model",
        f'label_values({CALLS}{{job=~"$service", gen_ai_provider_name=~"$provider"}}, gen_ai_request_model)',
    ),
    Variable("operation", "Operation", f'label_values({CALLS}{{job=~"$service"}}, gen_ai_operation_name)'),
)

_NOW = Row(
    "Now: the last five minutes",
    (
        Panel(
            "Requests",
            "Requests that ended, in a second. A sudden zero is an application that has stopped asking, or telemetry "
            "that has stopped coming: look whether other panels still move.",
            (Query(total(rate(CALLS, over=RECENT))),),
            "reqps",
            "stat",
            width=3,
        ),
        Panel(
            "Error ratio",
            "Requests that failed after all retries; without those that the application itself cancelled. Errors by "
            "type, below, says why. Alert: OpenAIErrorRatioHigh.",
            (Query(share(rate(CALLS, FAILED, over=RECENT), rate(CALLS, over=RECENT))),),
            "percentunit",
            "stat",
            width=3,
            steps={"orange": 0.01, "red": 0.05},
        ),
        Panel(
            "Latency, p95",
            "One request in twenty takes longer, retries and the waits between them included. Compare with output "
            "tokens per request: a long answer takes long.",
            (Query(quantile(0.95, _DURATION, over=RECENT)),),
            "s",
            "stat",
            width=3,
        ),
        Panel(
            "First token, p95",
            "One stream in twenty waits longer for its first output; images, transcriptions and sessions are left out. "
            "It grows with queues at the server and with long prompts. Alert: OpenAIFirstTokenSlow.",
            (Query(quantile(0.95, _FIRST_CHUNK, WAITED_FOR, over=RECENT)),),
            "s",
            "stat",
            width=3,
            steps={"orange": 2, "red": 5},
            no_value="no streams",
        ),
        Panel(
            "Cut off",
            "Answers that ended because they reached the limit of tokens: users see half sentences and broken JSON. "
            "Raise max_tokens, or ask for less. Alert: OpenAIAnswersCutOff.",
            (Query(share(rate(_FINISH_REASONS, CUT_OFF, over=RECENT), rate(_FINISH_REASONS, over=RECENT))),),
            "percentunit",
            "stat",
            width=3,
            steps={"orange": 0.05, "red": 0.2},
        ),
        Panel(
            "Rate limit left",
            "The least that is left of any limit, of the most that was left in six hours. Near zero requests will be "
            "refused: slow down, spread the work, or ask the provider for more. Alert: OpenAIRateLimitHeadroomLow.",
            (Query(f"min({headroom()})"),),
            "percentunit",
            "stat",
            width=3,
            steps={"red": 0, "orange": 0.1, "green": 0.3},
            no_value="not told of late",
        ),
        Panel(
            "Open requests",
            "Calls and streams that are open now. A number that only grows is streams that nobody closes, or a server "
            "that does not answer.",
            (Query(total(OPEN)),),
            "short",
            "stat",
            width=3,
        ),
        Panel(
            "Tokens",
            "Tokens in a second, in and out. Alert, against the average of a day: OpenAITokenBurnRateHigh.",
            (Query(total(rate("gen_ai_client_token_usage_sum", over=RECENT))),),
            "short",
            "stat",
            width=3,
        ),
    ),
)

_REQUESTS = Row(
    "Requests and errors",
    (
        Panel(
            "Requests by operation and model",
            "Requests that ended, in a second. Find out here which model or operation has changed.",
            (
                Query(
                    total(rate(CALLS), "gen_ai_operation_name", "gen_ai_request_model"),
                    "{{gen_ai_operation_name}} {{gen_ai_request_model}}",
                ),
            ),
            "reqps",
        ),
        Panel(
            "Errors by type",
            "Share of all requests. rate_limit_exceeded: slow down. insufficient_quota: pay. context_length_exceeded: "
            "prompts have grown. APITimeoutError, APIConnectionError: the server or the network. Cancelled, "
            "CancelledError: the application gave up.",
            (
                Query(
                    share_by("error_type", rate(CALLS, 'error_type!=""'), rate(CALLS), nothing="no errors"),
                    "{{error_type}}",
                ),
            ),
            "percentunit",
            stacked=True,
        ),
        Panel(
            "Retries",
            "Requests that the client has sent again, in a second. Retries hide errors, and users wait for them: a "
            "rise comes before a rise of errors.",
            (Query(total(rate("otel_openai_retries_total"), "gen_ai_request_model"), "{{gen_ai_request_model}}"),),
            "reqps",
        ),
    ),
)

_LATENCY = Row(
    "Latency",
    (
        Panel(
            "Latency",
            "Time from a request to the end of its answer. p99 far from p50: retries, or a few very long answers; the "
            "dots are single requests, and lead to their traces.",
            tuple(Query(quantile(q, _DURATION), f"p{q * 100:g}") for q in _QUANTILES),
            "s",
            width=12,
            exemplars=True,
        ),
        Panel(
            "Time to the first token",
            "What a user of a stream waits for, images, transcriptions and sessions left out. When it rises and "
            "latency does not, the server's queue or the prompts have grown.",
            tuple(Query(quantile(q, _FIRST_CHUNK, WAITED_FOR), f"p{q * 100:g}") for q in _QUANTILES),
            "s",
            width=12,
            steps={"red": 5},
            no_value="no streams",
            exemplars=True,
        ),
    ),
)

_USAGE = Row(
    "Tokens",
    (
        Panel(
            "Tokens in, by model",
            "Input tokens in a second; cached ones are among them. They rise with the number and "
            "the length of prompts.",
            (Query(total(rate(_INPUT), "gen_ai_request_model"), "{{gen_ai_request_model}}"),),
            "short",
            width=6,
            stacked=True,
        ),
        Panel(
            "Tokens out, by model",
            "Output tokens in a second; reasoning is among them. Usually the dearer part of a bill.",
            (Query(total(rate(_OUTPUT), "gen_ai_request_model"), "{{gen_ai_request_model}}"),),
            "short",
            width=6,
            stacked=True,
        ),
        Panel(
            "Tokens per request",
            "Averages over requests with reported usage. A steady rise of the input is a "
            "conversation that nobody cuts.",
            (Query(per_request("input"), "in"), Query(per_request("output"), "out")),
            "short",
            width=6,
        ),
        Panel(
            "Cached and reasoning share",
            "Cached: of the input; it falls when the beginnings of prompts change. Reasoning: of the output; it is "
            "paid for and not shown to users.",
            (
                Query(share(rate(_CACHED), rate(_INPUT)), "cached, of input"),
                Query(share(rate(_REASONING), rate(_OUTPUT)), "reasoning, of output"),
            ),
            "percentunit",
            width=6,
            maximum=1,
        ),
    ),
)

_ANSWERS = Row(
    "Answers",
    (
        Panel(
            "Finish reasons",
            "Share of all choices. length and max_output_tokens: cut off. content_filter: withheld. error: broken off, "
            "or closed early. A model that loops in tools shows as tool_calls.",
            (
                Query(
                    share_by("otel_openai_finish_reason", rate(_FINISH_REASONS), rate(_FINISH_REASONS)),
                    "{{otel_openai_finish_reason}}",
                ),
            ),
            "percentunit",
            maximum=1,
            stacked=True,
        ),
        Panel(
            "Tool calls",
            "Calls of tools that models asked for, in a second. A sudden peak of one tool is a loop.",
            (Query(total(rate("otel_openai_tool_calls_total"), "gen_ai_tool_name"), "{{gen_ai_tool_name}}"),),
            "ops",
            no_value="no tool calls",
        ),
        Panel(
            "Stream outcomes",
            "Share of all streams. abandoned: the application forgets to close them (alert: OpenAIStreamsAbandoned). "
            "truncated: the server stops too early (alert: OpenAIStreamsTruncated). error: the connection breaks. "
            "closed: users go away.",
            (
                Query(
                    share_by("otel_openai_stream_outcome", rate(_STREAMS), rate(_STREAMS)),
                    "{{otel_openai_stream_outcome}}",
                ),
            ),
            "percentunit",
            maximum=1,
            stacked=True,
            no_value="no streams",
        ),
    ),
)

_CAPACITY = Row(
    "Capacity and cost",
    (
        Panel(
            "Rate limit left",
            "What is left, of the most that was left in six hours. tokens runs out before requests: shorter prompts "
            "help. Not every server tells.",
            (Query(headroom(), "{{gen_ai_request_model}} {{otel_openai_ratelimit_kind}}"),),
            "percentunit",
            width=6,
            maximum=1,
            steps={"red": 0, "green": 0.1},
            no_value="not told of late",
        ),
        Panel(
            "Open requests and streams",
            "Calls and streams that are open now. If it grows while requests per second do not, answers have become "
            "slower, or streams are not closed.",
            (
                Query(
                    total(OPEN, "gen_ai_operation_name", "gen_ai_request_model"),
                    "{{gen_ai_operation_name}} {{gen_ai_request_model}}",
                ),
            ),
            "short",
            width=6,
            stacked=True,
        ),
        Panel(
            "Sound and video in an hour",
            "Seconds that servers count: sound that was transcribed, video that was ordered. They are billed like "
            "tokens, and are none.",
            (
                Query(
                    f"3600 * {total(rate('otel_openai_usage_duration_seconds_total'), 'gen_ai_request_model')}",
                    "{{gen_ai_request_model}}",
                ),
            ),
            "s",
            width=6,
            stacked=True,
            no_value="neither sound nor video",
        ),
        Panel(
            "Cost in an hour",
            "An estimate in USD, where instrument(cost=True) is on; the bill is the provider's. Calls that nobody can "
            "price are counted in otel_openai_unpriced_calls_total.",
            (
                Query(
                    f"3600 * {total(rate('otel_openai_cost_total'), 'gen_ai_request_model')}",
                    "{{gen_ai_request_model}}",
                ),
            ),
            "currencyUSD",
            width=6,
            stacked=True,
            no_value="off: instrument(cost=True)",
        ),
    ),
)

ROWS = (_NOW, _REQUESTS, _LATENCY, _USAGE, _ANSWERS, _CAPACITY)
