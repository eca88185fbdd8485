"""Pictures, sound, files, documents, code, thoughts and earlier turns, in inputs, demonstrations, outputs and files."""

from __future__ import annotations

import base64
import io
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import PIL.Image
import pytest
from pydantic import BaseModel, ValidationError
from support.pictures import PNG

from engine import (
    PDF,
    Audio,
    ChatAdapter,
    Code,
    Evaluate,
    ExactMatch,
    File,
    History,
    Image,
    JSONAdapter,
    Predict,
    Reasoning,
    Signature,
    context,
    read_dataset,
)
from engine.errors import AdapterParseError, ConfigurationError, SignatureError
from engine.pipeline.build import build_program
from engine.pipeline.check import spec_problems
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.records import json_value
from engine.runs.prepare import usable_examples
from engine.signature.types.media import download
from engine.testing import ScriptedLM

URI = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def user_content(lm, at=-1):
    return lm.requests[-1].messages[at]["content"]


@pytest.mark.parametrize("source", [URI, PNG, {"url": URI}, bytearray(PNG)])
def test_an_image_is_made_of_what_is_there(source):
    assert Image(source).format() == [{"type": "image_url", "image_url": {"url": URI}}]


def test_pil_images_and_files(tmp_path):
    pil = PIL.Image.new("RGB", (2, 2))
    assert Image(pil).url.startswith("data:image/png;base64,")
    out = io.BytesIO()
    pil.save(out, "JPEG")
    path = tmp_path / "a.bin"
    path.write_bytes(out.getvalue())
    assert Image.from_path(path).url.startswith("data:image/jpeg")
    with pytest.raises(ValueError, match="cannot be read"):
        Image.from_path(tmp_path / "none.png")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("/etc/passwd", "use Image.from_path"),
        ("photo.png", "use Image.from_path"),
        (b"hello", "no image"),
        ("data:text/plain;base64,aGVsbG8=", "no image but text/plain"),
        ("data:image/png;base64,aGVsbG8=", "no image"),
        ("data:image/png;base64,§§§", "no base-64"),
        ("file:///etc/passwd", "use Image.from_path"),
        ("http://127.0.0.1/x.png", "private network"),
        ("http://169.254.169.254/latest", "private network"),
        ("http://[::1]/x.png", "private network"),
        ("http://2130706433/x.png", "private network"),
        ("http://box.local/x.png", "private network"),
        ({"url": "http://10.0.0.1/x.png"}, "private network"),
        (3, "cannot be made of int"),
    ],
)
def test_what_is_no_image_is_refused(source, why):
    with pytest.raises(ValueError, match=why):
        Image(source)


def test_private_addresses_can_be_allowed():
    assert Image("http://127.0.0.1/x.png", allow_private=True).url == "http://127.0.0.1/x.png"


def test_an_image_stands_as_a_part_between_the_texts():
    lm = ScriptedLM([{"label": "cat"}])
    with context(lm=lm):
        assert (
            Predict(Signature("picture: Image, hint -> label", custom_types={"Image": Image}))(
                picture=Image(PNG), hint="h"
            ).label
            == "cat"
        )
    values = user_content(lm)
    assert [part["type"] for part in values] == ["text", "image_url", "text"]
    assert values[0]["text"].startswith("[[ ## picture ## ]]")
    assert values[1]["image_url"]["url"] == URI
    assert "[[ ## hint ## ]]\nh" in values[2]["text"]


def test_images_nested_in_lists_and_models_are_parts_too():
    class Page(BaseModel):
        title: str
        scan: Image

    lm = ScriptedLM([{"label": "x"}, {"label": "y"}])
    with context(lm=lm):
        Predict(Signature("pages: list[Image] -> label", custom_types={"Image": Image}))(pages=[PNG, URI])
        assert [p["type"] for p in user_content(lm)] == ["text", "image_url", "text", "image_url", "text"]
        Predict(Signature("page: Page -> label", custom_types={"Page": Page}))(
            page=Page(title="T", scan=Image(PNG))
        )
    assert [p["type"] for p in user_content(lm)] == ["text", "image_url", "text"]
    assert '"title":"T"' in user_content(lm)[0]["text"]


def test_text_from_outside_cannot_pass_for_a_part():
    from engine.adapters import values

    text = '[0123:0] <image> {"type": "image_url"}'
    messages = ChatAdapter().format(Signature("a, b -> c"), [], {"a": text, "b": "x"})
    assert isinstance(messages[-1]["content"], str)
    assert values._NONCE not in str(messages)


def test_sound():
    assert Audio(b"RIFF").format()[0]["input_audio"] == {"data": "UklGRg==", "format": "wav"}
    assert Audio("data:audio/mpeg;base64,UklGRg==").audio_format == "mp3"
    made = Audio.from_array([0.0, 0.5, -0.5], sampling_rate=8000)
    assert base64.b64decode(made.data).startswith(b"RIFF")
    for wrong in ("https://example.org/a.wav", "data:image/png;base64,UklGRg==", 3, "§"):
        with pytest.raises(ValueError, match=r"sound|unasked"):
            Audio(wrong)
    assert Audio.model_validate(json_value(made)) == made


def test_files(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b")
    made = File.from_path(path)
    assert made.format()[0]["file"]["filename"] == "a.csv"
    assert File.from_file_id("file-1").format() == [{"type": "file", "file": {"file_id": "file-1"}}]
    assert File.model_validate(json_value(made)) == made
    with pytest.raises(ValidationError, match="needs file_data"):
        File()
    with pytest.raises(ValidationError, match="from_path"):
        File(file_data="/etc/passwd")
    with pytest.raises(ValidationError, match="no PDF"):
        PDF.from_bytes(b"PK", "a.pdf")


def test_code_is_taken_out_of_its_block():
    signature = Signature("task -> program: Code", custom_types={"Code": Code})
    lm = ScriptedLM([{"program": "Here:\n```python\nx = 1\nprint(x)\n```\nDone."}, {"program": "x = 2"}])
    with context(lm=lm):
        step = Predict(signature)
        assert step(task="t").program.code == "x = 1\nprint(x)"
        assert step(task="t").program == Code("x = 2")
    assert "fenced block" in lm.requests[0].messages[0]["content"]
    assert Code["java"].language == "java"
    assert Code["java"] is Code["java"]
    assert json_value(Code("x")) == "x"
    assert "x = 9" in ChatAdapter().answer(signature, {"program": Code("x = 9")})
    assert JSONAdapter().parse(signature, '{"program": "```\\nx\\n```"}')["program"].code == "x"


def test_reasoning_reads_like_a_text():
    signature = Signature("q -> thought: Reasoning, answer", custom_types={"Reasoning": Reasoning})
    with context(lm=ScriptedLM([{"thought": "First add.", "answer": "4"}])):
        found = Predict(signature)(q="2+2")
    assert found.thought.startswith("First")
    assert "Thought: " + found.thought == "Thought: First add."
    assert found.thought == "First add."
    assert json_value(found.thought) == "First add."
    assert "add" in found.thought


@pytest.mark.parametrize("adapter", [ChatAdapter(), JSONAdapter()])
def test_earlier_turns_stand_before_the_inputs(adapter):
    signature = Signature("question, history: History -> answer", custom_types={"History": History})
    earlier = History(messages=[{"question": "Who wrote it?", "answer": "Ada"}, {"question": "When?"}])
    for history in (earlier, json_value(earlier), earlier.messages):
        messages = adapter.format(signature, [], {"question": "Where?", "history": history})
        assert [m["role"] for m in messages] == ["system", "user", "assistant", "user", "user"]
        assert "Who wrote it?" in messages[1]["content"]
        assert "Ada" in messages[2]["content"]
        assert "history" not in messages[-1]["content"]
        assert "2. `history`" not in messages[0]["content"]
    assert len(adapter.format(signature, [], {"question": "Where?"})) == 2
    with pytest.raises(ConfigurationError, match="history is a list"):
        adapter.format(signature, [], {"question": "x", "history": 3})
    with pytest.raises(SignatureError, match="two inputs of the type History"):
        adapter.format(Signature("a: History, b: History -> c", custom_types={"History": History}), [], {})


def test_an_unreadable_output_names_the_rule():
    signature = Signature("q -> picture: Image", custom_types={"Image": Image})
    with pytest.raises(AdapterParseError, match="picture"):
        ChatAdapter().parse(signature, "[[ ## picture ## ]]\nnothing.png")
    found = ChatAdapter().parse(signature, "[[ ## picture ## ]]\nhttps://example.org/a.png")
    assert found["picture"].url == "https://example.org/a.png"


class _Files(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
            return
        body = PNG if self.path == "/a.png" else b"hello"
        self.send_response(200 if self.path != "/gone" else 404)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def test_downloads_are_asked_for_and_guarded():
    server = HTTPServer(("127.0.0.1", 0), _Files)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        assert Image.from_url(f"{base}/a.png", allow_private=True).url == URI
        assert Image(f"{base}/a.png", download=True, allow_private=True).url == URI
        assert File.from_url(f"{base}/a.png", allow_private=True).filename == "a.png"
        with pytest.raises(ValueError, match="no image"):
            Image.from_url(f"{base}/b", allow_private=True)
        with pytest.raises(ValueError, match="404"):
            Image.from_url(f"{base}/gone", allow_private=True)
        with pytest.raises(ValueError, match="private network"):
            Image.from_url(f"{base}/a.png")
        with pytest.raises(ValueError, match=r"302|file|away"):
            download(f"{base}/away", allow_private=True)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    with pytest.raises(ValueError, match="cannot be downloaded"):
        download(f"{base}/a.png", allow_private=True)


def test_a_name_that_leads_to_a_private_address_is_refused_before_anything_is_sent(monkeypatch):
    private = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: private)
    with pytest.raises(
        ValueError, match=r"'shop\.example' is an address on this machine or a private network"
    ):
        download("http://shop.example/a.png")


def test_a_form_may_name_these_types_and_a_tables_bad_cells_are_problems_by_row():
    spec = PipelineSpec(
        steps=(
            StepSpec(
                name="look",
                inputs=(FieldSpec(name="picture", type="Image"),),
                outputs=(FieldSpec(name="label"), FieldSpec(name="program", type="Code")),
            ),
        )
    )
    assert spec_problems(spec) == []
    table = f"picture,label,program\n{URI!r},dot,x = 1\nphoto.png,none,y\n".replace("'", '"').encode()
    mapping = {"picture": "picture", "label": "label", "program": "program"}
    usable = usable_examples(spec, read_dataset(table, "a.csv"), mapping)
    assert usable.examples[0].picture == Image(PNG)
    assert [(p.row, p.column) for p in usable.problems] == [(3, "picture")]
    with context(lm=ScriptedLM([{"label": "dot", "program": "```python\nx = 1\n```"}])):
        result = Evaluate(devset=[usable.examples[0]], metric=ExactMatch())(build_program(spec))
    assert result.score == 100.0
