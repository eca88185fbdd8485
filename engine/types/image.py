"""`Image`: a picture in a field, by its data or its address."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationInfo, field_validator, model_validator

from engine.types.base import Part, Type, data_uri, decoded, shortened, split_data_uri
from engine.types.download import TIMEOUT, checked_url, download

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


class Image(Type):
    """A picture: `Image("https://...")`, `Image("data:image/png;base64,...")`, `Image(data_bytes)` or a PIL image.

    An address is handed to the model's provider, never fetched here; `Image.from_url` fetches, `Image.from_path` reads a
    file. Addresses on this machine or a private network need `allow_private=True`. Raises ValueError for what is no
    picture.

    >>> Image("https://example.org/cat.png").format()
    [{'type': 'image_url', 'image_url': {'url': 'https://example.org/cat.png'}}]
    """

    url: str

    def __init__(
        self,
        url: Any = None,
        *,
        download: bool = False,
        verify: bool = True,
        allow_private: bool = False,
        **data: Any,
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
        return cls(_read(Path(path)))

    from_file = from_path

    @classmethod
    def from_PIL(cls, image: Any) -> Self:  # noqa: N802 - DSPy's name
        """Return a PIL image as a PNG."""
        return cls(_png(image))

    def format(self) -> list[Part]:
        """Return the picture as a part of a message."""
        return [{"type": "image_url", "image_url": {"url": self.url}}]

    def __repr__(self) -> str:
        return f"Image({shortened(self.url)!r})"

    __str__ = __repr__


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


def _url_of(source: Any, allow_private: bool) -> str:
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


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"The image {str(path)!r} cannot be read: {error.strerror}.") from None
