"""The dashboard's log: unexpected errors of pages and wrong tokens, for the owner alone, without keys, of a bounded size."""

import logging
import subprocess
import sys

from engine.runs.log_file import LogFile

SCRIPT = """
import sys
from dashboard.serving import hosting
from dashboard.serving.access import _log
app = hosting.hosted(1)
try:
    {}["a row with \\x1b[2J and sk-proj-abcdef1234567890"]
except KeyError as error:
    app._on_script_error(error)
_log.warning("A wrong token came from %s.", "10.0.0.7")
"""


def test_errors_of_pages_are_in_it_with_their_traceback(home):
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    path = home / "logs" / "dashboard.log"
    text = path.read_text()
    assert "A page failed." in text
    assert 'File "<string>", line 7' in text
    assert "A wrong token came from 10.0.0.7." in text
    assert "[key]" in text
    assert "sk-proj" not in text
    assert "\x1b" not in text
    assert path.stat().st_mode & 0o077 == 0


def test_it_does_not_grow_without_end(home):
    log = LogFile(home, "x.log", most=1000)
    for number in range(100):
        log.handle(logging.makeLogRecord({"msg": f"line {number} " + "x" * 80, "levelname": "ERROR"}))
    log.close()
    files = sorted((home / "logs").iterdir())
    assert [file.name for file in files] == ["x.log", "x.log.1"]
    assert all(file.stat().st_size <= 1100 and file.stat().st_mode & 0o077 == 0 for file in files)
    assert "line 99" in files[0].read_text()
