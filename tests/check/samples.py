#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Prove that a check finds what it must, and nothing else.

    samples.py CHECK.py SAMPLES_DIR

Each folder of SAMPLES_DIR is a small source tree; the check run on it must
print what its expected.txt says.  A tree without sources must be refused: a
check that looks in the wrong place would otherwise always pass.
"""

import pathlib
import subprocess
import sys
import tempfile


def run(check, root):
    """Exit code and output of the check."""
    done = subprocess.run([sys.executable, check, root], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          check=False)
    return done.returncode, done.stdout


def judge(check, root, want_code, want_text):
    """Whether the check says about root what it should; tell if not."""
    code, text = run(check, root)
    if (code, text) == (want_code, want_text):
        return True
    print(f"{root}: exit code {code}, expected {want_code}; output:\n{text}"
          f"expected:\n{want_text}", file=sys.stderr)
    return False


def main():
    check, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    good = True
    cases = sorted(path.parent for path in folder.glob("*/expected.txt"))
    for case in cases:
        want = (case / "expected.txt").read_text(encoding="utf-8")
        good &= judge(check, case, 1 if want else 0, want)
    with tempfile.TemporaryDirectory() as empty:
        good &= judge(check, empty, 2, "")
    return 0 if good and len(cases) >= 2 else 1


if __name__ == "__main__":
    sys.exit(main())
