"""The server programs by name. A new one is one file here, one row in `SERVERS` and a run of the tests of the others."""

from collections.abc import Mapping

from sublet.core.server_program import ServerProgram
from sublet.gateway.servers.llamacpp import LLAMACPP
from sublet.gateway.servers.url import URL
from sublet.gateway.servers.vllm import VLLM

SERVERS: Mapping[str, ServerProgram] = {server.name: server for server in (LLAMACPP, VLLM, URL)}
