"""Takes the values of secrets out of text: wherever one stands, in any of its forms, `[redacted:name]` stands afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from headway.runtime.frames_log import MAX_FRAME, encode_frame
from headway.runtime.framing import parse
from headway.runtime.results import payload_text
from headway.runtime.secret_forms import LEAST, forms_of

PREVIEW = 4096
"""Characters of a result that stand in for it where it is shown, once something was taken out of it."""

# The protocol's own words; whoever calls a secret `completed` shall not lose the end of a call.
_OWN_WORDS = frozenset({"type", "call", "parent", "kind", "outcome", "cause", "durable", "level"})
_CUT_MARK = re.compile(r" \.\.\. \[cut \d+ (?:bytes|characters)\]\Z")
_CUT_LENGTHS = frozenset({200, 255, 500})
"""Characters to which names and lines of code are cut without a mark."""

# From the most frequent in lines and frames, which are full of digests, to the less frequent ones.
_FREQUENT = 'e 0a1234567895cdtbfi",ornsl:mhu.pg_ywvkxjqz-/{}[]=()IOENARTSDL'
_RARITY = {character: rank for rank, character in enumerate(_FREQUENT)}
_RARE = len(_RARITY)
_NEAR = 256
"""Characters of a form's beginning among which its anchor is."""


class Span(NamedTuple):
    """A place in a text, and the secret whose value stands there."""

    start: int
    end: int
    name: str


class Redactor:
    """Knows values by their forms. Looking for all of them costs about as much as looking for one."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._by_prefix: dict[str, list[str]] = {}
        self._by_anchor: dict[str, list[tuple[int, str]]] = {}
        """Forms by some of their characters that are seldom in other text, and how far from the beginning these stand."""
        self._firsts: set[str] = set()
        """With which characters anchors begin: the fewer, and the more seldom, the less of a text is looked at twice."""
        self._pattern: re.Pattern[str] | None = None
        self._longest = 0

    def __bool__(self) -> bool:
        return bool(self._names)

    def add(self, name: str, value: str) -> bool:
        """From now on this value is taken out; False if it is too short for that."""
        forms = forms_of(value)
        for form in forms - self._names.keys():
            self._names[form] = name
            self._by_prefix.setdefault(form[:LEAST], []).append(form)
            at = self._anchor_in(form)
            self._by_anchor.setdefault(form[at : at + LEAST], []).append((at, form))
            self._longest = max(self._longest, len(form))
            self._pattern = None
        for prefix in {form[:LEAST] for form in forms}:
            self._by_prefix[prefix].sort(key=len, reverse=True)
        return bool(forms)

    def spans(self, text: str) -> list[Span]:
        """Where values stand, in order; what overlaps is one span."""
        found: list[Span] = []
        for span in sorted(self._hits(text), key=lambda span: (span.start, -span.end)):
            if found and span.start < found[-1].end:
                last = found[-1]
                found[-1] = Span(last.start, max(last.end, span.end), last.name)
            else:
                found.append(span)
        return found

    def text(self, text: str) -> str:
        """The text without values. Of a text that was cut, also without the beginning of a value at the cut."""
        if not self._names:
            return text
        spans = self.spans(text)
        if spans:
            text = _replaced(text, spans)
        return self._without_torn_end(text)

    def frame(self, raw: bytes, frame: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        """A frame without values. A result itself stays, for it is the next attempt's; what would be shown of it does not."""
        if not self._names:
            return raw, frame
        shown = raw.decode(errors="replace")
        if not self.spans(shown) and " [cut " not in shown and not self._may_be_torn(frame):
            return raw, frame
        clean = self._fields(frame)
        if isinstance(wait := frame.get("wait"), dict):
            clean["wait"] = self._fields(wait)
        if isinstance(waits := frame.get("waits"), list):
            clean["waits"] = [self._fields(w) if isinstance(w, dict) else w for w in waits]
        if isinstance(result := frame.get("result"), dict):
            clean["result"] = self._result(result)
        if "digest" in clean and clean.get("data") != frame.get("data"):
            # Of an artifact: whoever has the digest of the whole can try values out.
            clean["digest"] = sha256(str(clean["data"]).encode(errors="replace")).hexdigest()
        changed = encode_frame(clean)
        if len(changed) > MAX_FRAME:  # marks are longer than what they stand for
            clean = {name: _shortened(value) for name, value in clean.items()}
            changed = encode_frame(clean)
        return changed, parse(changed) or clean

    def _may_be_torn(self, frame: Mapping[str, Any]) -> bool:
        name = frame.get("run_name")
        return "error" in frame or (isinstance(name, str) and len(name) in _CUT_LENGTHS)

    def _fields(self, frame: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: value if name in _OWN_WORDS else self._part(value, numbers=name == "request")
            for name, value in frame.items()
        }

    def _part(self, value: Any, *, numbers: bool = False) -> Any:
        """`numbers`: those are the user's too, as in what a person is asked; else they are the protocol's, and stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._part(each, numbers=numbers) for each in value]
        if isinstance(value, dict):
            return {
                self.text(name): self._part(each, numbers=numbers or name == "request")
                for name, each in value.items()
            }
        if numbers and type(value) in {int, float} and self.spans(shown := repr(value)):
            return self.text(shown)
        return value

    def _result(self, result: dict[str, Any]) -> dict[str, Any]:
        """Its data as it is. With `secrets`, what leaves is `preview` in place of the data, and no digest of it."""
        text = payload_text(result)
        spans = self.spans(text)
        if not spans and "secrets" not in result:
            return result
        marked = {**result, "secrets": result.get("secrets", [])}
        if result.get("codec") == "json" and "data" in result:
            marked["preview"] = _replaced(text, spans)[:PREVIEW]
        return marked

    # Search

    def _hits(self, text: str) -> Iterator[Span]:
        """Also such as overlap: one may begin inside another and end behind it."""
        if not self._names:
            return
        pattern = self._pattern
        if pattern is None:
            pattern = self._pattern = re.compile(_any_of(self._by_anchor))
        at = 0
        while (hit := pattern.search(text, at)) is not None:
            at = hit.start() + 1
            for before, form in self._by_anchor[hit[0]]:
                start = hit.start() - before
                if start >= 0 and text.startswith(form, start):
                    yield Span(start, start + len(form), self._names[form])

    def _anchor_in(self, form: str) -> int:
        """Where in a form the characters begin by which it is looked for."""
        places = range(min(len(form) - LEAST + 1, _NEAR))
        known = [at for at in places if form[at] in self._firsts]
        found = max(
            known or places, key=lambda at: [_RARITY.get(c, _RARE) for c in form[at : at + 2]]
        )
        self._firsts.add(form[found])
        return found

    def _without_torn_end(self, text: str) -> str:
        mark = _CUT_MARK.search(text) if text.endswith("]") else None
        if mark is None and len(text) not in _CUT_LENGTHS:
            return text
        body = text[: mark.start()] if mark else text
        torn = self._torn_at(body)
        if torn is None:
            return text
        at, name = torn
        return f"{body[:at]}{_mark(name)}{mark[0] if mark else ''}"

    def _torn_at(self, text: str) -> tuple[int, str] | None:
        """Where the text's end is the beginning of a form."""
        for at in range(max(0, len(text) - self._longest), len(text) - LEAST + 2):
            rest = text[at:]
            for form in self._by_prefix.get(rest[:LEAST], ()):
                if form.startswith(rest):
                    return at, self._names[form]
        last = text[-(LEAST - 1) :]
        for prefix, forms in self._by_prefix.items():
            if len(last) == LEAST - 1 and prefix.startswith(last):
                return len(text) - len(last), self._names[forms[0]]
        return None


def _mark(name: str) -> str:
    return f"[redacted:{name}]"


def _replaced(text: str, spans: Iterable[Span]) -> str:
    parts, at = [], 0
    for span in spans:
        parts += [text[at : span.start], _mark(span.name)]
        at = span.end
    return "".join([*parts, text[at:]])


def _shortened(value: Any) -> Any:
    """For a frame that has grown too large: long texts lose their end."""
    if isinstance(value, str):
        return value[:PREVIEW]
    if isinstance(value, list):
        return [_shortened(each) for each in value]
    if isinstance(value, dict) and "codec" not in value:
        return {name: _shortened(each) for name, each in value.items()}
    return value


def _any_of(prefixes: Iterable[str]) -> str:
    """A pattern that finds any of them: a tree, so that a place where none can begin is left at its first character."""
    tails: dict[str, list[str]] = {}
    for prefix in sorted(prefixes):
        tails.setdefault(prefix[0], []).append(prefix[1:])
    if all(tail == "" for rest in tails.values() for tail in rest):
        return f"[{''.join(map(re.escape, tails))}]" if len(tails) > 1 else re.escape(*tails)
    branches = [re.escape(first) + _any_of(rest) for first, rest in tails.items()]
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"
