"""Pictures, sounds and files, as parts of a message; the one door to the network for values, opened on request only.

Addresses of this machine and of private networks are refused unless allowed, also behind a name or a redirect. Size and
time are limited.
"""

from __future__ import annotations

import asyncio
import base64
import io
import mimetypes
import wave
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self
from urllib.parse import urljoin

from pydantic import ValidationInfo, field_validator, model_validator

from engine.basics.addresses import checked_url, connector, limited_body, private_refusal
from engine.signature.types.base import Part, Type, data_uri, decoded, shortened, split_data_uri

_MOST_REDIRECTS = 10
LARGEST = 50 * 2**20
"""Bytes."""

TIMEOUT = 30.0
"""Seconds."""


def download(
    url: str, *, timeout: float = TIMEOUT, allow_private: bool = False, verify: bool = True
) -> tuple[bytes, str]:
    """Return (content, media type) of a URL. Raises ValueError with a message for everything that can go wrong."""
    with ThreadPoolExecutor(1) as pool:  # its own thread: a loop may run in this one
        return pool.submit(asyncio.run, _downloaded(url, timeout, allow_private, verify)).result()


async def _downloaded(url: str, timeout: float, allow_private: bool, verify: bool) -> tuple[bytes, str]:
    import aiohttp

    wait, headers = aiohttp.ClientTimeout(total=timeout), {"User-Agent": "tuneboard"}
    try:
        async with aiohttp.ClientSession(connector=connector(allow_private=allow_private)) as session:
            for _ in range(_MOST_REDIRECTS):
                checked_url(url, allow_private=allow_private)
                asked = session.get(url, timeout=wait, headers=headers, allow_redirects=False, ssl=verify)
                async with asked as response:
                    if response.status >= 400:
                        raise ValueError(f"{url[:80]!r} answered {response.status} when it was downloaded.")
                    if response.status < 300:
                        return await limited_body(response, LARGEST), response.content_type
                    url = urljoin(url, response.headers.get("Location", ""))
    except (aiohttp.ClientError, OSError) as error:
        failed = f"{url[:80]!r} cannot be downloaded: {str(error) or 'no answer in time'}."
        raise ValueError(private_refusal(error, url) or failed) from None
    raise ValueError(f"{url[:80]!r} cannot be downloaded: it points on and on.")


class _Media(Type):
    def __str__(self) -> str:
        return repr(self)


_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
)
_START = 64
"""Characters of base 64 that hold any picture's first bytes."""


class Image(_Media):
    """A picture: `Image("https://...")`, `Image("data:image/png;base64,...")`, `Image(data_bytes)` or a PIL image.

    An address is handed to the model's provider, never fetched here; `Image.from_url` fetches, `Image.from_path`
    reads a file. Addresses on this machine or a private network need `allow_private=True`. Raises ValueError for
    anything that is no picture.

    >>> Image("https://example.org/cat.png").format()
    [{'type': 'image_url', 'image_url': {'url': 'https://example.org/cat.png'}}]
    """

    url: str

    def __init__(
        self,
        url: object = None,
        *,
        download: bool = False,
        verify: bool = True,
        allow_private: bool = False,
        **data: object,
    ) -> None:
        given = url if url is not None else data.get("url")
        if download and isinstance(given, str) and given.startswith("http"):
            given = _fetched(given, TIMEOUT, allow_private, verify)
        self.__pydantic_validator__.validate_python(
            {**data, "url": _url_of(given, allow_private)},
            self_instance=self,
            context={"allow_private": allow_private},
        )

    @model_validator(mode="wrap")
    @classmethod
    def _from_other_forms(cls, value: Any, handler: Any, info: ValidationInfo) -> Any:
        if isinstance(value, cls):
            return value
        allowed = bool((info.context or {}).get("allow_private"))
        if isinstance(value, Mapping):
            return handler({**value, "url": _url_of(value.get("url"), allowed)})
        return handler({"url": _url_of(value, allowed)})

    @field_validator("url")
    @classmethod
    def _is_a_picture(cls, value: str) -> str:
        parts = split_data_uri(value)
        if parts is None:
            return value
        kind, data = parts
        if not kind.startswith("image/"):
            raise ValueError(f"is no image but {kind}")
        start = decoded(data[:_START], "The image")
        if kind != "image/svg+xml" and media_type(start) is None:
            raise ValueError(f"is no image: its data begins with {start[:8]!r}")
        return value

    @classmethod
    def from_url(
        cls, url: str, verify: bool = True, timeout: float = TIMEOUT, *, allow_private: bool = False
    ) -> Self:
        """Download a picture now and keep its data."""
        return cls(_fetched(url, timeout, allow_private, verify))

    @classmethod
    def from_path(cls, path: str | Path) -> Self:
        """Read a picture from a file now and keep its data."""
        return cls(_file_data(path, "The image"))

    from_file = from_path

    @classmethod
    def from_PIL(cls, image: object) -> Self:  # noqa: N802 - DSPy's name
        """Return a PIL image as a PNG."""
        return cls(_png(image))

    def format(self) -> list[Part]:
        """Return the picture as a part of a message."""
        return [{"type": "image_url", "image_url": {"url": self.url}}]

    def __repr__(self) -> str:
        return f"Image({shortened(self.url)!r})"


def media_type(data: bytes) -> str | None:
    """Return the media type of a picture by its first bytes; None where they are no picture's.

    >>> media_type(b"GIF89a"), media_type(b"hello")
    ('image/gif', None)
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:12] in (b"ftypavif", b"ftypheic", b"ftypheix", b"ftypmif1"):
        return "image/avif" if data[8:12] == b"avif" else "image/heic"
    return next((kind for start, kind in _MAGIC if data.startswith(start)), None)


def _url_of(source: object, allow_private: bool) -> str:
    if isinstance(source, Image):
        return source.url
    if isinstance(source, bytes | bytearray):
        kind = media_type(bytes(source[:32]))
        if kind is None:
            raise ValueError(f"The bytes are no image: they begin with {bytes(source[:8])!r}.")
        return data_uri(kind, bytes(source))
    if isinstance(source, Mapping) and isinstance(source.get("url"), str):
        return _url_of(source["url"], allow_private)
    if isinstance(source, str):
        if source.startswith("data:"):
            if split_data_uri(source) is None:
                raise ValueError(f"{shortened(source)!r} is no data URI of an image in base 64.")
            return source
        if source.startswith("gs://"):
            return source
        if source.startswith(("http://", "https://")):
            return checked_url(source, allow_private=allow_private)
        raise ValueError(
            f"{shortened(source)!r} is no address of an image. No file is read unasked: use Image.from_path(...)."
        )
    if hasattr(source, "save") and hasattr(source, "convert"):
        return data_uri("image/png", _png(source))
    raise ValueError(f"An image cannot be made of {type(source).__name__}.")


def _png(image: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format="PNG")
    return out.getvalue()


def _fetched(url: str, timeout: float, allow_private: bool, verify: bool) -> bytes:
    data, _ = download(url, timeout=timeout, allow_private=allow_private, verify=verify)
    if media_type(data[:32]) is None:
        raise ValueError(f"{url[:80]!r} is no image: it begins with {data[:8]!r}.")
    return data


def _file_data(path: str | Path, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{what} {str(path)!r} cannot be read: {error.strerror}.") from None


_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav", "x-m4a": "m4a", "mp4": "m4a"}


class Audio(_Media):
    """Sound as base-64 `data` in an `audio_format` (wav, mp3 ...).

    Made from `Audio(data=..., audio_format=...)`, a data URI, bytes, or a dict. `Audio.from_path` reads a file,
    `Audio.from_url` downloads one, `Audio.from_array` takes samples. Raises ValueError for anything that is no sound.

    >>> Audio(data="UklGRg==", audio_format="wav").format()
    [{'type': 'input_audio', 'input_audio': {'data': 'UklGRg==', 'format': 'wav'}}]
    """

    data: str
    audio_format: str

    def __init__(self, data: object = None, audio_format: str = "wav", **more: object) -> None:
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
        data = _file_data(path, "The sound")
        return cls(data, _format_of(mimetypes.guess_type(Path(path).name)[0] or "", str(path)))

    from_file = from_path

    @classmethod
    def from_url(cls, url: str, timeout: float = TIMEOUT, *, allow_private: bool = False) -> Self:
        """Download a file now and keep its data."""
        data, kind = download(url, timeout=timeout, allow_private=allow_private)
        return cls(data, _format_of(kind, url))

    @classmethod
    def from_array(cls, array: object, sampling_rate: int = 16_000, format: str = "wav") -> Self:  # noqa: A002 - DSPy's name
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


def _fields(source: object, audio_format: str) -> dict[str, str]:
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


_UNKNOWN = "application/octet-stream"


class File(_Media):
    """A file by its data (`file_data`, a data URI) or by the id a provider gave it (`file_id`), with a `filename`.

    `File.from_path` reads one, `File.from_bytes` and `File.from_file_id` take what is there, `File.from_url` downloads.

    >>> File.from_bytes(b"a,b", filename="t.csv").format()
    [{'type': 'file', 'file': {'file_data': 'data:text/csv;base64,YSxi', 'filename': 't.csv'}}]
    """

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_other_forms(cls, value: object) -> Any:
        if isinstance(value, bytes | bytearray):
            return {"file_data": data_uri(_UNKNOWN, bytes(value))}
        if isinstance(value, str):
            return {"file_data": value}
        return dict(value) if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if not self.file_data and not self.file_id:
            raise ValueError("A file needs file_data (a data URI) or file_id.")
        if self.file_data:
            parts = split_data_uri(self.file_data)
            if parts is None:
                raise ValueError(
                    f"{shortened(self.file_data)!r} is no data URI. No file is read unasked: use {type(self).__name__}.from_path(...)."
                )
            self._check_start(decoded(parts[1][:64], "The file"))
        return self

    def _check_start(self, start: bytes) -> None:
        """Raise ValueError where the data's beginning is not that of such a file."""

    @classmethod
    def from_path(cls, path: str | Path, filename: str | None = None, mime_type: str | None = None) -> Self:
        """Read a file now and keep its data."""
        return cls.from_bytes(_file_data(path, "The file"), filename or Path(path).name, mime_type)

    @classmethod
    def from_bytes(cls, data: bytes, filename: str | None = None, mime_type: str | None = None) -> Self:
        """Return bytes as a file; the type is guessed from the name where it is not given."""
        kind = mime_type or mimetypes.guess_type(filename or "")[0] or _UNKNOWN
        return cls(file_data=data_uri(kind, data), filename=filename)

    @classmethod
    def from_file_id(cls, file_id: str, filename: str | None = None) -> Self:
        """Return a file that the model's provider holds already."""
        return cls(file_id=file_id, filename=filename)

    @classmethod
    def from_url(cls, url: str, timeout: float = TIMEOUT, *, allow_private: bool = False) -> Self:
        """Download a file now and keep its data."""
        data, kind = download(url, timeout=timeout, allow_private=allow_private)
        return cls.from_bytes(data, url.split("?")[0].rpartition("/")[2] or None, kind)

    def format(self) -> list[Part]:
        """Return the file as a part of a message."""
        return [{"type": "file", "file": self.model_dump(exclude_none=True)}]

    def __repr__(self) -> str:
        shown = self.filename or self.file_id or shortened(self.file_data or "")
        return f"{type(self).__name__}({shown!r})"


class PDF(File):
    """A PDF document. Raises ValueError when the data is none.

    >>> PDF.from_bytes(b"%PDF-1.7 ...", "a.pdf")
    PDF('a.pdf')
    """

    def _check_start(self, start: bytes) -> None:
        if not start.startswith(b"%PDF-"):
            raise ValueError("The file is no PDF: its data does not begin with %PDF-.")

    @classmethod
    def from_bytes(cls, data: bytes, filename: str | None = None, mime_type: str | None = None) -> Self:
        """Return bytes as a PDF."""
        return super().from_bytes(data, filename, mime_type or "application/pdf")
