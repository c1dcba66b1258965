"""What takes values out of text, in every form that they may have."""

import base64
import html
import itertools
import json
import random
import shlex
import time
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from headway.runtime.frames_log import MAX_FRAME, encode_frame
from headway.runtime.output import LineSplitter
from headway.runtime.redaction import Redactor
from headway.runtime.secret_forms import LEAST, forms_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=LEAST, max_size=60)


def knows(**values: str) -> Redactor:
    redactor = Redactor()
    for name, value in values.items():
        redactor.add(name, value)
    return redactor


ENCODINGS = {
    "plain": lambda v: v,
    "repr": lambda v: repr([v]),
    "repr of bytes": lambda v: repr(v.encode()),
    "json": lambda v: json.dumps({"a": v}),
    "json in unicode": lambda v: json.dumps(v, ensure_ascii=False),
    "json in json": lambda v: json.dumps(json.dumps([v])),
    "in a url": lambda v: quote(v, safe=""),
    "in a path": quote,
    "in a form": quote_plus,
    "in a url's user part": lambda v: quote(v, safe="!$&'()*+,;="),
    "in a component, as browsers do": lambda v: quote(v, safe="!*'()"),
    "in a connection string": lambda v: quote(v, safe=" +"),
    "quoted again by a client": lambda v: quote(v, safe="!#$%&'()*+,/:;=?@[]~"),
    "in SQL and YAML": lambda v: "'" + v.replace("'", "''") + "'",
    "for a shell": shlex.quote,
    "html": html.escape,
    "html of templates": lambda v: (
        html.escape(v).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
    ),
    "ascii": lambda v: ascii({"a": v}),
    "json in repr": lambda v: repr({"body": json.dumps({"a": v})}),
    "repr in json": lambda v: json.dumps(repr({"a": v})),
    "hex": lambda v: v.encode().hex(),
    "base64": lambda v: base64.b64encode(v.encode()).decode(),
    "base64, one before": lambda v: base64.b64encode(b"u" + v.encode() + b"@host").decode(),
    "base64, two before": lambda v: base64.b64encode(b"u:" + v.encode() + b"@host").decode(),
    "base64 for urls": lambda v: base64.urlsafe_b64encode(b"use" + v.encode() + b"?").decode(),
}


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@settings(deadline=None)
@given(value=TEXT)
def test_every_form_is_found(encode, value: str) -> None:
    shown = knows(x=value).text(f"< {encode(value)} >")
    assert "[redacted:x]" in shown
    assert shown.startswith("< ")
    assert shown.endswith(" >")


LISTS = {
    "hex with spaces": lambda v: v.hex(" "),
    "hex with colons, in capitals": lambda v: v.hex(":").upper(),
    "hex with dashes": lambda v: v.hex("-"),
    "escapes": lambda v: "".join(f"\\x{byte:02x}" for byte in v),
    "as C writes it": lambda v: ", ".join(f"0x{byte:02x}" for byte in v),
    "a list of numbers": lambda v: str(list(v)),
    "JSON of a list, close": lambda v: json.dumps(list(v), separators=(",", ":")),
    "all of it in percents": lambda v: "".join(f"%{byte:02X}" for byte in v),
    "base32": lambda v: base64.b32encode(v).decode(),
    "base32 in small letters": lambda v: base64.b32encode(v).decode().lower().rstrip("="),
    "base85": lambda v: base64.b85encode(v).decode(),
    "Ascii85": lambda v: base64.a85encode(v, adobe=True).decode(),
    "base64 of base64": lambda v: base64.b64encode(base64.b64encode(v)).decode(),
    "base64 of base64 for urls": lambda v: base64.urlsafe_b64encode(
        base64.urlsafe_b64encode(v)
    ).decode(),
}
"""Of bytes, which may stand between others."""
TWICE = {
    "all": lambda v: quote(quote(v, safe=""), safe=""),
    "as paths": lambda v: quote(quote(v)),
    "as forms": lambda v: quote_plus(quote_plus(v)),
    "the whole of a URL": lambda v: quote(f"https://h/?p={quote(v, safe='')}", safe=""),
    "in JSON": lambda v: json.dumps({"url": quote(quote(v, safe=""))}),
}


@pytest.mark.parametrize("encode", LISTS.values(), ids=LISTS)
@settings(deadline=None)
@given(before=st.binary(max_size=9), value=st.text(min_size=8, max_size=60), behind=st.binary())
def test_every_encoding_is_found_wherever_the_value_stands_in_it(
    encode, before: bytes, value: str, behind: bytes
) -> None:
    raw = value.encode("utf-8", "surrogatepass")
    assume(value == raw.decode("utf-8", "replace"))
    assert "[redacted:x]" in knows(x=value).text(f"< {encode(before + raw + behind)} >")


@pytest.mark.parametrize("encode", TWICE.values(), ids=TWICE)
@settings(deadline=None)
@given(value=TEXT)
def test_what_is_quoted_twice_is_found(encode, value: str) -> None:
    assert "[redacted:x]" in knows(x=value).text(f"< {encode(value)} >")


@settings(deadline=None)
@given(value=TEXT, cuts=st.lists(st.integers(0, 70)), around=st.text(max_size=9))
def test_a_value_that_comes_in_pieces_is_found(value: str, cuts: list[int], around: str) -> None:
    assume(not {*"\r\n"} & {*value + around})
    data = f"{around}<{value}>\n".encode()
    splitter, lines = LineSplitter(), []
    places = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    for begin, end in itertools.pairwise(places):
        lines += splitter.feed(data[begin:end])
    (line,) = lines
    shown = knows(x=value).text(line)
    assert shown.endswith("<[redacted:x]>"), shown


@settings(deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=8), st.text())
def test_all_that_is_looked_for_is_found_and_nothing_else(values: list[str], text: str) -> None:
    """Against a search for one form after the other."""
    redactor = knows(**{f"v{n}": value for n, value in enumerate(values)})
    text = text.join(values)
    forms = {form for value in values for form in forms_of(value)}
    wanted = {n for f in forms for at in _all(text, f) for n in range(at, at + len(f))}
    found = {n for span in redactor.spans(text) for n in range(span.start, span.end)}
    assert found == wanted


def _all(text: str, form: str) -> Iterator[int]:
    at = text.find(form)
    while at >= 0:
        yield at
        at = text.find(form, at + 1)


@settings(deadline=None)
@given(st.binary(min_size=8, max_size=60))
def test_bytes_that_are_no_text_are_found_where_they_are_printed(value: bytes) -> None:
    assume(not {*b"\r\n"} & {*value})
    shown = value.decode(errors="replace")
    assume(len(shown) >= LEAST and shown.strip("\0\ufffd"))
    redactor = knows(x=value.decode("utf-8", "surrogateescape"))
    assert redactor.text(*LineSplitter().feed(b"< " + value + b" >\n")) == "< [redacted:x] >"


@given(
    values=st.lists(TEXT, min_size=1, max_size=5), around=st.lists(st.text(max_size=9), min_size=6)
)
def test_no_value_is_left_and_nothing_else_goes(values: list[str], around: list[str]) -> None:
    redactor = knows(**{f"v{n}": value for n, value in enumerate(values)})
    text = "".join(part for pair in zip(around, values, strict=False) for part in pair)
    shown = redactor.text(text)
    rest = "".join(shown.split("[redacted:v"))
    for value in values:
        assert value in "[redacted:v0][redacted:v1]" or value not in rest


def test_of_values_that_overlap_nothing_is_left() -> None:
    redactor = knows(a="hunter2x", b="2xfoobar", c="hunter2xf")
    assert redactor.text("<hunter2xfoobar>") == "<[redacted:c]>"
    assert redactor.text("<hunter2x>") == "<[redacted:a]>"


def test_a_value_too_short_is_left_alone() -> None:
    redactor = Redactor()
    assert not redactor.add("pin", "1234")
    assert redactor.text("1234") == "1234"
    assert forms_of("") == set()


@pytest.mark.parametrize("kept", range(1, 12))
def test_the_beginning_of_a_value_at_a_cut_is_taken_out(kept: int) -> None:
    redactor = knows(x="correct horse")
    shown = redactor.text("y" * 50 + "correct horse"[:kept] + " ... [cut 90 bytes]")
    gone = kept >= LEAST - 1
    assert (
        shown
        == f"{'y' * 50}{'[redacted:x]' if gone else 'correct horse'[:kept]} ... [cut 90 bytes]"
    )
    name = "n" * (200 - kept) + "correct horse"[:kept]
    assert ("correct"[:kept] in redactor.text(name)) is not gone


def test_a_frame_keeps_its_words_and_its_result() -> None:
    redactor = knows(done="completed", value="p4ssw0rd")
    frame = {
        "type": "call.ended",
        "outcome": "completed",
        "name": "completed",
        "error": {"traceback": [{"code": "login('p4ssw0rd')", "line": 3}]},
        "result": {"codec": "json", "data": '{"a":"p4ssw0rd"}', "digest": "00", "size": 16},
        "added": {"p4ssw0rd": ["p4ssw0rd", 1, None]},
        "waits": [{"kind": "input", "request": {"title": "p4ssw0rd"}}],
    }
    raw, shown = redactor.frame(encode_frame(frame), frame)
    assert json.loads(raw) == shown
    assert shown["outcome"] == "completed"
    assert shown["name"] == "[redacted:done]"
    assert shown["error"]["traceback"][0] == {"code": "login('[redacted:value]')", "line": 3}
    assert shown["result"]["data"] == frame["result"]["data"]
    assert shown["result"]["preview"] == '{"a":"[redacted:value]"}'
    assert shown["added"] == {"[redacted:value]": ["[redacted:value]", 1, None]}
    assert shown["waits"][0] == {"kind": "input", "request": {"title": "[redacted:value]"}}


def test_numbers_are_taken_out_of_what_a_person_is_asked_and_stay_where_they_are_the_protocols() -> (
    None
):
    request = {"schema": {"default": 48151623, "maximum": 48151623.5, "minimum": 1, "const": True}}
    asked = {"type": "wait.started", "at_us": 48151623, "wait": {"request": request}}
    ended = {"type": "attempt.ended", "waits": [{"since_us": 48151623, "request": request}]}
    redactor = knows(pin="48151623")
    _, shown = redactor.frame(encode_frame(asked), asked)
    told = {
        "default": "[redacted:pin]",
        "maximum": "[redacted:pin].5",
        "minimum": 1,
        "const": True,
    }
    assert shown == {**asked, "wait": {"request": {"schema": told}}}
    _, shown = redactor.frame(encode_frame(ended), ended)
    assert shown["waits"] == [{"since_us": 48151623, "request": {"schema": told}}]


def test_a_wait_keeps_its_words() -> None:
    frame = {"type": "wait.started", "wait": {"kind": "input", "name": "input", "parent": "input"}}
    _, shown = knows(x="input").frame(encode_frame(frame), frame)
    assert shown["wait"] == {"kind": "input", "name": "[redacted:x]", "parent": "input"}


def test_a_pickled_result_is_marked_and_has_no_preview() -> None:
    redactor = knows(value="p4ssw0rd")
    data = base64.b64encode(b"..p4ssw0rd..").decode()
    frame = {"type": "call.ended", "result": {"codec": "bytes", "data": data}}
    _, shown = redactor.frame(encode_frame(frame), frame)
    assert shown["result"] == {"codec": "bytes", "data": data, "secrets": []}


def test_a_frame_without_values_is_passed_on_as_it_is() -> None:
    frame = {"type": "call.started", "name": "load"}
    raw = encode_frame(frame)
    assert knows(x="p4ssw0rd").frame(raw, frame)[0] is raw
    assert Redactor().frame(raw, frame)[0] is raw


def test_a_frame_does_not_grow_beyond_what_a_frame_may_be() -> None:
    redactor = knows(**{"a-very-long-name-of-a-secret": "12345"})
    frame = {"type": "log", "text": "12345" * (MAX_FRAME // 6)}
    raw, shown = redactor.frame(encode_frame(frame), frame)
    assert len(raw) <= MAX_FRAME
    assert "12345" not in shown["text"]


def test_many_values_cost_little_more_than_one() -> None:
    """Printed, not judged: the cost of looking through a line, as a ratio to writing it as JSON."""
    chance = random.Random(1)
    lines = [f"2026-11-22 INFO app.loader: row {n} of customers in 0.12 s, ok" for n in range(3000)]

    def seconds(work) -> float:
        began = time.perf_counter()
        for line in lines:
            work(line)
        return time.perf_counter() - began

    plain = seconds(lambda line: json.dumps({"line": 1, "text": line}))
    for count in (1, 100):
        redactor = knows(
            **{
                f"s{n}": "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789/+", k=24))
                for n in range(count)
            }
        )
        assert redactor.text(lines[0]) == lines[0]
        print(f"{count} secrets: {seconds(redactor.text) / plain:.2f} of the JSON of a line")
