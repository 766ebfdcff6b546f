"""Models by the token: the OpenAI-compatible API, and the server programs behind it."""
