"""Any server that speaks OpenAI's API at an address which somebody else keeps. Nothing is started; it is only asked."""

from sublet.core.server_program import Abilities, ServerProgram

URL = ServerProgram(
    name="url",
    abilities=Abilities(embeddings=True),
    options={"model": "the name by which it knows the model; else ours"},
    runs=False,
    health="/models",  # below the base URL: every such server has it, and it wants the key
)
