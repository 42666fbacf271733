"""What the tests share: a model, and what the command-line program `SIMSEG` leaves behind (tests that need it are skipped without)."""

import os
import subprocess
from pathlib import Path

import pytest
import simseg

ROOT = Path(__file__).resolve().parents[3]
TINY = ROOT / "fixtures/tiny"


@pytest.fixture(scope="session")
def model():
    return simseg.Model(TINY)


@pytest.fixture(scope="session")
def program():
    """Runs the program."""
    path = os.environ.get("SIMSEG")
    if not path:
        pytest.skip("SIMSEG names no program")
    return lambda *arguments: subprocess.run([path, *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="session")
def run(program, tmp_path_factory):
    """The folder of a miniature of experiments/quick.toml: three variants, two seeds, two steps, three images."""
    out = tmp_path_factory.mktemp("experiment") / "runs/quick"
    miniature = ["training.steps=2", "training.data.count=24", "training.batch=8", "evaluation.data.count=3", "evaluation.pictures=1"]
    changes = [word for change in miniature for word in ("--set", change)]
    program("run", ROOT / "experiments/quick.toml", "--quick", "--seeds", 2, "--out", out, *changes)
    return out
