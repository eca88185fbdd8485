"""`Audio`: sound in a field."""

from __future__ import annotations

import base64
import io
import mimetypes
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from engine.types.base import Part, Type, decoded, shortened, split_data_uri
from engine.types.download import TIMEOUT, download

_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav", "x-m4a": "m4a", "mp4": "m4a"}


class Audio(Type):
    """Sound as base-64 `data` in an `audio_format` (wav, mp3 ...).

    Made from `Audio(data=..., audio_format=...)`, a data URI, bytes, or a dict. `Audio.from_path` reads a file,
    `Audio.from_url` downloads one, `Audio.from_array` takes samples. Raises ValueError for what is no sound.

    >>> Audio(data="UklGRg==", audio_format="wav").format()
    [{'type': 'input_audio', 'input_audio': {'data': 'UklGRg==', 'format': 'wav'}}]
    """

    data: str
    audio_format: str

    def __init__(self, data: Any = None, audio_format: str = "wav", **more: Any) -> None:
        super().__init__(**_fields(data, audio_format), **more)

    @model_validator(mode="wrap")
    @classmethod
    def _from_other_forms(cls, value: Any, handler: Any) -> Any:
        if isinstance(value, cls):
            return value
        return handler(_fields(value, "wav"))

    @classmethod
    def from_path(cls, path: str | Path) -> Self:
        """Read a file now and keep its data."""
        file = Path(path)
        try:
            data = file.read_bytes()
        except OSError as error:
            raise ValueError(f"The sound {str(file)!r} cannot be read: {error.strerror}.") from None
        return cls(data, _format_of(mimetypes.guess_type(file.name)[0] or "", str(file)))

    from_file = from_path

    @classmethod
    def from_url(cls, url: str, timeout: float = TIMEOUT, *, allow_private: bool = False) -> Self:
        """Download a file now and keep its data."""
        data, kind = download(url, timeout=timeout, allow_private=allow_private)
        return cls(data, _format_of(kind, url))

    @classmethod
    def from_array(cls, array: Any, sampling_rate: int = 16_000, format: str = "wav") -> Self:  # noqa: A002 - DSPy's name
        """Return samples from -1 to 1 (one row a channel, or one channel) as 16-bit WAV; `sampling_rate` in Hz."""
        import numpy as np

        if format != "wav":
            raise ValueError(f"Samples can be written as wav, not as {format!r}.")
        samples = np.atleast_2d(np.asarray(array, np.float64))
        out = io.BytesIO()
        with wave.open(out, "wb") as file:
            file.setnchannels(samples.shape[0])
            file.setsampwidth(2)
            file.setframerate(sampling_rate)
            file.writeframes((np.clip(samples.T, -1, 1) * 32767).astype("<i2").tobytes())
        return cls(out.getvalue(), "wav")

    def format(self) -> list[Part]:
        """Return the sound as a part of a message."""
        return [{"type": "input_audio", "input_audio": {"data": self.data, "format": self.audio_format}}]

    def __repr__(self) -> str:
        return f"Audio({shortened(self.data)!r}, {self.audio_format!r})"

    __str__ = __repr__


def _fields(source: Any, audio_format: str) -> dict[str, str]:
    if isinstance(source, Audio):
        return {"data": source.data, "audio_format": source.audio_format}
    if isinstance(source, bytes | bytearray):
        return {"data": base64.b64encode(source).decode(), "audio_format": audio_format}
    if isinstance(source, Mapping) and isinstance(source.get("data"), str):
        return _fields(source["data"], str(source.get("audio_format") or audio_format))
    if isinstance(source, str):
        parts = split_data_uri(source)
        if parts is not None:
            return {"data": parts[1], "audio_format": _format_of(parts[0], "The data URI")}
        if source.startswith(("http://", "https://")):
            raise ValueError("No address is fetched unasked: use Audio.from_url(...).")
        decoded(source[:64], "The sound")
        return {"data": source, "audio_format": audio_format}
    raise ValueError(f"A sound cannot be made of {type(source).__name__}: give bytes or a data URI.")


def _format_of(media_type: str, what: str) -> str:
    kind, _, name = media_type.partition("/")
    if kind != "audio":
        raise ValueError(f"{what[:80]} is no sound but {media_type or 'of an unknown type'}.")
    return _FORMATS.get(name, name)
