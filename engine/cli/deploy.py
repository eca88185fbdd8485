"""A folder from which a dashboard for a team is started: by Docker Compose, or as a service of systemd."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from engine.basics.home import write_whole
from engine.errors import ConfigurationError
from engine.export.container import wheel

FILES = ("compose.yaml", "Dockerfile", "tuneboard.service")


def write_deploy_folder(folder: Path) -> list[Path]:
    """Write the files and this Tuneboard's wheel into a folder, made where it was missing; return their paths.

    Files that the user may have changed are left alone. Raises ConfigurationError where the dashboard is not installed or
    the folder cannot be written, ProgramFileError where this Tuneboard is not installed as a package.
    """
    spec = importlib.util.find_spec("dashboard")
    if spec is None or spec.origin is None:
        raise ConfigurationError("The dashboard is not installed. Run: pip install tuneboard")
    source = Path(spec.origin).parent / "deploy"
    name, content = wheel()
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("tuneboard-*.whl"):
            old.unlink()  # the image takes the only one there is
        write_whole(folder / name, content)
        written.append(folder / name)
        for file in FILES:
            if not (folder / file).exists():
                write_whole(folder / file, (source / file).read_bytes())
                written.append(folder / file)
    except OSError as error:
        raise ConfigurationError(
            f"The folder {folder} cannot be written: {error.strerror or error}."
        ) from error
    return written
