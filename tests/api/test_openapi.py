"""The committed description of the API is the API."""

import json
from pathlib import Path

from sublet.api.server import document

COMMITTED = Path(__file__).parents[2] / "openapi.json"


def test_the_committed_document_is_current() -> None:
    assert json.loads(COMMITTED.read_text()) == document(), "run: sublet openapi > openapi.json"


def test_every_refusal_is_a_problem_document() -> None:
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            assert {"401", "403", "404", "422", "503"} <= set(answers), f"{method} {path}"
            refusals = [answers[status] for status in answers if int(status) >= 400]
            assert all(list(refusal["content"]) == ["application/problem+json"] for refusal in refusals), f"{method} {path}"


def test_every_operation_is_described() -> None:
    names = set()
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], f"{method} {path}"
            names.add(operation["operationId"])
    assert len(names) == sum(len(operations) for operations in document()["paths"].values())
