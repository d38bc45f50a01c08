#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Check what the formatter does not: the rules of src/README.md that a line of
text can break.

    style.py ROOT

Prints one line per violation; exit code 1 if there is any, 2 if there is
nothing to check.
"""

import pathlib
import re
import sys

FOLDERS = ("src", "include", "tests")
SAMPLES = "samples"  # of the checks themselves
SPDX = "SPDX-License-Identifier: GPL-2.0-or-later"
COLUMNS = 88  # the formatter aims at 80; a little more may read better
TAB = 8

UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
GOTO = re.compile(r"^\s*goto\s")
# Names of fixed-width things that cannot be broken: a string, an include, a
# test's name, which is a sentence.
UNBREAKABLE = re.compile(r'"|#include|_test|^\s*static (void|int|bool) \w+\(')


def width(line):
    """Columns of a line."""
    return len(line.expandtabs(TAB))


def check_c_lines(lines, is_proxy):
    """Yield (line number, what is wrong) of a C file."""
    for number, line in enumerate(lines, 1):
        if width(line) > COLUMNS and not UNBREAKABLE.search(line):
            yield number, f"wider than {COLUMNS} columns"
        if re.match(r"\s*#\s*if\s+0\b", line):
            yield number, "dead code"
        if GOTO.match(line) and not is_proxy:
            yield number, "goto outside of the data path"


def check_header(path, text):
    """Yield (line number, what is wrong) of a header as a whole."""
    if "#pragma once" not in text:
        yield 1, "no #pragma once"
    title = rf"^/\*\n \* (\w+/)?{re.escape(path.name)} - \S"
    if not re.search(title, text, re.M):
        yield 2, f'no "{path.name} - ..." that says what it is for'


def check_text(lines):
    """Yield (line number, what is wrong) of any file."""
    if SPDX not in "\n".join(lines[:2]):
        yield 1, "no SPDX line"
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            yield number, "space at the end of the line"
        if UNFINISHED.search(line) and "UNFINISHED" not in line:
            yield number, "unfinished"


def check_file(root, path):
    """Yield the violations in one file."""
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")
    found = list(check_text(lines))
    if text and not text.endswith("\n"):
        found.append((len(lines), "no newline at the end"))
    if path.suffix in (".c", ".h"):
        parts = path.relative_to(root).parts
        found += check_c_lines(lines, parts[:2] == ("src", "proxy"))
    if path.suffix == ".h":
        found += check_header(path, text)
    for number, what in sorted(found):
        yield f"{path.relative_to(root)}:{number}: {what}"


def files(root):
    """Yield every source file below the checked folders."""
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if SAMPLES in path.relative_to(root).parts:
                continue
            if path.suffix in (".c", ".h", ".py"):
                yield path


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    found = list(files(root))
    violations = [v for path in found for v in check_file(root, path)]
    print("\n".join(violations), end="\n" if violations else "")
    if not found:
        print(f"{root}: no sources found", file=sys.stderr)
        return 2
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
