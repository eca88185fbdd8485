"""The sample of invoices as a program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[4] / "sample_data" / "invoices.py"


def test_the_samples_program_explains_itself_and_makes_no_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "usage: invoices.py" in done.stdout
    assert not list(tmp_path.iterdir())
    subprocess.run([sys.executable, str(SCRIPT), "out", "--forms", "txt"], cwd=tmp_path, check=True)
    assert len(list((tmp_path / "out").iterdir())) == 121
