"""A task from a file and the command line, as the document that the API takes."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sublet.app import task_files
from sublet.cli.assignments import pair, put

Given = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="FIELD=VALUE", help="Set a field of the task: resources.accelerators=H100:8; repeat."),
]
Tenant = Annotated[str | None, typer.Option(help="For which tenant (needed with an owner's key).")]


def document(file: Path | None, *, run: str | None, given: list[str], env: list[str]) -> dict[str, Any]:
    """The task's document, checked here so that mistakes are named with their lines."""
    if file is None and run is None:
        raise typer.BadParameter("name a task file, or give the command with --run", param_hint="TASK.yaml")
    text = "" if file is None else task_files.text_of(file)
    found, lines, doubled = task_files.document_of(text, what=str(file)) if file else ({}, {}, [])
    if isinstance(found, dict):
        if run is not None:
            found["run"] = run
        for item in given:
            put(found, *pair(item, "--set"), typed=True)
        for item in env:
            name, value = pair(item, "--env")
            put(found, f"envs.{name}" if name not in (found.get("secrets") or {}) else f"secrets.{name}", value)
    task_files.checked(found, lines, doubled, what=str(file or "the task"))
    return dict(found)
