"""The OpenAI-compatible model API: one file a noun, and what all of them share."""
