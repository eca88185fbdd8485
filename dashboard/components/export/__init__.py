"""The export page: files, the proof, versions."""
