# SPDX-License-Identifier: GPL-2.0-or-later
"""What is expected of a packet, what was seen of it, and both as one text.

  l1 l2 r1 @client     all of these endpoints answer and nobody else; they see
                       the client's own address (@node: an address of the node)
  l1@node l2 @client   an endpoint of its own has the source after it
  one of l1 l2 @node   always the same one of these answers
  same @node           that one which this client's last `one of` found
  changed @node        not for every address of the client that one
  refused              at the first packet
  refused-late         sometimes only at the second SYN, a second later
  silent, untouched, reset, broken, unreachable
  200 2                of a health check: the code and the number of endpoints
"""
import collections
import re

WORDS = ("refused", "refused-late", "silent", "untouched", "reset", "broken",
         "unreachable")
_ASKS_ONE = 10


def canonical(answers):
    """Text of a set of (name, source)."""
    sources = collections.Counter(source for _, source in answers)
    if len(sources) == 1:
        names = " ".join(sorted(name for name, _ in answers))
        return f"{names} @{next(iter(sources))}"
    return " ".join(f"{n}@{s}" for n, s in sorted(answers))


class Expected:
    """One expectation, parsed."""

    def __init__(self, text):
        text = str(text)
        self.kind = "word"
        self.answers = frozenset()
        self.source = None
        self.text = text
        if text in WORDS or re.fullmatch(r"\d{3}( \d+)?", text):
            return
        m = re.fullmatch(r"(same|changed) @(client|node)", text)
        if m:
            self.kind, self.source = m.groups()
            return
        rest = text.removeprefix("one of ")
        self.kind = "set" if rest == text else "one"
        self.answers = frozenset(_answers(rest, text))
        self.text = ("one of " if self.kind == "one" else "") + \
            canonical(self.answers)

    def asks_n(self, asked_n):
        """How many more questions a first or further look needs."""
        if self.kind == "word":
            return 2
        if self.kind == "set":
            return max(4, 5 * len(self.answers))
        # A first one decides: simultaneous ones may each be the first.
        return _ASKS_ONE if asked_n and self.kind == "one" else 1

    def wants_more(self, seen, asked_n):
        """Whether what was seen may yet become what is expected."""
        if self.kind == "set":
            return (not seen.words and seen.answers < self.answers and
                    asked_n < 40 * len(self.answers))
        return self.kind == "one" and asked_n == 1 and not seen.words


def _answers(rest, text):
    *tokens, last = rest.split()
    if last.startswith("@"):
        default = last[1:]
    else:
        tokens.append(last)
        default = None
    for token in tokens:
        name, _, own = token.partition("@")
        source = own or default
        if not re.fullmatch(r"[lr][n\d](:\d+)?", name) or \
                source not in ("client", "node"):
            raise ValueError(f"no expectation: {text!r}")
        yield name, source


class Seen:
    """The results of the questions to one frontend."""

    def __init__(self):
        self.answers = set()
        self.words = set()
        self.by_source = {}  # of the client's addresses: who answered

    def add_word(self, word):
        self.words.add(word)

    def add_answer(self, client_addr, name, source):
        self.answers.add((name, source))
        self.by_source.setdefault(client_addr, set()).add((name, source))

    def text(self, expected, remembered):
        """As in the table of what the oracle does."""
        if self._satisfies(expected, remembered):
            return expected.text
        parts = ([canonical(self.answers)] if self.answers else []) + \
            sorted(self.words)
        return " + ".join(parts) or "nothing"

    def single(self):
        """{address: who answered it}; None unless one answers each."""
        if self.words or any(len(a) != 1 for a in self.by_source.values()):
            return None
        return {addr: next(iter(a)) for addr, a in self.by_source.items()}

    def _satisfies(self, expected, remembered):
        if expected.kind == "word":
            return not self.answers and (
                self.words == {expected.text} or
                expected.text == "refused-late" and self.words and
                self.words <= {"refused", "refused-late"})
        if self.words:
            return False
        if expected.kind == "set":
            return self.answers == expected.answers
        single = self.single()
        if not single:
            return False
        if expected.kind == "one":
            return self.answers <= expected.answers
        if any(source != expected.source for _, source in self.answers):
            return False
        kept = all(addr in remembered and remembered[addr] == who[0]
                   for addr, who in single.items())
        return kept == (expected.kind == "same")
