"""What a look at weights finds before anything is promised."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from sublet.app import weights
from sublet.gateway.servers import SERVERS


@pytest.mark.skipif(os.geteuid() != 0, reason="who is not root gives replicas no users of their own")
def test_weights_that_replicas_could_not_read_are_said_when_they_are_added() -> None:
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))  # pytest's own folders are closed to others
    try:
        model = folder / "model"
        model.mkdir()
        for name in ("config.json", "model.safetensors"):
            (model / name).write_text("{}")
        server = SERVERS["vllm"]
        model.joinpath("model.safetensors").chmod(0o640)
        assert weights.look(str(model), server, checksum="").detail.startswith(f"{folder} is closed to the users")
        folder.chmod(0o755)
        assert f"chmod a+rX {model / 'model.safetensors'}" in weights.look(str(model), server, checksum="").detail
        model.joinpath("model.safetensors").chmod(0o644)
        assert weights.look(str(model), server, checksum="").detail == ""
    finally:
        shutil.rmtree(folder)
