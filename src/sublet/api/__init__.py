"""The HTTP control API. Routes translate and call one use case."""
