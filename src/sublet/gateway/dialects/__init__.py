"""How each server program is asked so that a stream can go on elsewhere, one file a program."""

from collections.abc import Mapping

from sublet.gateway.dialects.dialect import Dialect
from sublet.gateway.dialects.llamacpp import LlamaCpp
from sublet.gateway.dialects.plain import Plain
from sublet.gateway.dialects.vllm import Vllm

DIALECTS: Mapping[str, Dialect] = {"llamacpp": LlamaCpp(), "vllm": Vllm(), "url": Plain()}
