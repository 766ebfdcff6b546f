"""Weights of models: files that are read, fetched, checked and trained."""
