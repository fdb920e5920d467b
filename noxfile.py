"""The version matrix: the behaviour tests against every supported line of the client, of wrapt and of OpenTelemetry.

One command: `make matrix`, or `nox -s "client(openai='3.0.0')"` for one of them. `make test` runs every test with the
newest versions.
"""

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False  # a missing Python is skipped, and nox says so

# Each release pulls in the HTTP library that it was made for: httpx before 3, httpx2 since. All other sessions, and
# `make test`, run with the newest.
CLIENTS = ("1.66.0", "1.109.1", "2.0.0", "2.54.0", "3.0.0")
# What would say nothing new about another version: our own exporters, prices, processes, load, memory, long searches.
NEWEST_ONLY = (
    "prometheus",
    "server",
    "test_backends.py",
    "test_barrier.py",
    "test_bounds.py",
    "test_collector.py",
    "test_compose.py",
    "test_concurrency.py",
    "test_console.py",
    "test_content_everywhere.py",
    "test_content_limits.py",
    "test_content_memory.py",
    "test_content_redaction.py",
    "test_cost.py",
    "test_cost_table.py",
    "test_dashboards.py",
    "test_examples.py",
    "test_forks.py",
    "test_instrument_processes.py",
    "test_memory.py",
    "test_mutated_answers.py",
    "test_mutated_websocket.py",
    "test_process_ends.py",
    "test_prometheus_rules.py",
    "test_propagation_to_a_server.py",
    "test_real_model.py",
    "test_real_stream_usage.py",
    "test_recordings.py",
    "test_scripted_server.py",
    "test_sdk_setup.py",
    "test_typing.py",
)


_TOOLS = ("pytest", "hypothesis", "jsonschema", "websockets")


def _run(session: nox.Session, *requirements: str) -> None:
    project = nox.project.load_toml("pyproject.toml")
    tools = [tool for tool in project["dependency-groups"]["test"] if tool.startswith(_TOOLS)]
    session.install(".[instruments,otlp]", *tools, *requirements)
    ignored = [f"--ignore=tests/{name}" for name in NEWEST_ONLY]
    session.run("python", "-m", "pytest", "-q", "-n", "auto", *ignored, *session.posargs)


def _client(version: str) -> str:
    return "openai<4" if version == "newest" else f"openai=={version}"


@nox.session
@nox.parametrize("openai", CLIENTS)
def client(session: nox.Session, openai: str) -> None:
    """Each line of the client, with wrapt 2."""
    _run(session, _client(openai), "wrapt>=2,<3")


@nox.session
@nox.parametrize("openai", ("1.66.0", "newest"))
def wrapt1(session: nox.Session, openai: str) -> None:
    """The oldest supported wrapt."""
    _run(session, _client(openai), "wrapt==1.16.*")


@nox.session
def oldest_opentelemetry(session: nox.Session) -> None:
    """The oldest OpenTelemetry that pyproject.toml allows."""
    _run(
        session,
        "openai<4",
        "opentelemetry-api==1.39.*",
        "opentelemetry-sdk==1.39.*",
        "opentelemetry-instrumentation>=0.60b0,<0.61b0",
        "opentelemetry-exporter-otlp-proto-http==1.39.*",
    )


@nox.session(python=["3.10", "3.13"])
def python(session: nox.Session) -> None:
    """The oldest and a newer Python; skipped where the interpreter is missing."""
    _run(session, "openai<4")
