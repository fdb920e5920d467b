"""The real client, asking the scripted server, with and without strict validation of what it gets."""

from collections.abc import Iterator

import pytest
from openai import DefaultHttpxClient, OpenAI

from server import ScriptedServer


@pytest.fixture(scope="module")
def http() -> Iterator[DefaultHttpxClient]:
    http = DefaultHttpxClient()  # making one takes longer than most of these tests
    yield http
    http.close()


@pytest.fixture
def client(server: ScriptedServer, http: DefaultHttpxClient) -> OpenAI:
    return OpenAI(base_url=server.base_url, api_key="test-key", http_client=http)


@pytest.fixture
def strict_client(server: ScriptedServer, http: DefaultHttpxClient) -> OpenAI:
    return OpenAI(base_url=server.base_url, api_key="test-key", http_client=http, _strict_response_validation=True)
