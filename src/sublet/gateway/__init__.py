"""The OpenAI-compatible model API: one file a noun, what all of them share, and the server programs behind it."""
