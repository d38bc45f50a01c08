# SPDX-License-Identifier: GPL-2.0-or-later
"""What is kept of the oracle, and where nodesplice differs from it.

oracle.yaml      every packet's outcome with kube-proxy, as recorded
differences.md   the only packets on which the subjects may differ from the
                 case or from each other, and why
"""
import fnmatch
import os

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
ORACLE = f"{HERE}/oracle.yaml"
DIFFERENCES = f"{HERE}/differences.md"
COLUMNS = ("kube-proxy", "nodesplice-kernel", "nodesplice-proxy")
AS_CASE = "="
_HEAD = """\
# SPDX-License-Identifier: GPL-2.0-or-later
# Recorded by `tests/conformance/run --subject kube-proxy --record`.
"""


def load_oracle():
    """(version, {case: {packet: outcome}})"""
    with open(ORACLE, encoding="utf-8") as f:
        told = yaml.safe_load(f)
    return told["version"], told["cases"]


def save_oracle(version, cases):
    with open(ORACLE, "w", encoding="utf-8") as f:
        f.write(_HEAD)
        yaml.safe_dump({"version": version, "cases": cases}, f, width=200)


class Differences:
    """The rows of the tables in differences.md."""

    def __init__(self):
        self._rows = []
        with open(DIFFERENCES, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                cells = [c.strip().strip("`") for c in
                         line.strip().strip("|").split("|")]
                if line.startswith("| `") and len(cells) == 5:
                    self._rows.append(_Row(number, cells))

    def expected(self, subject, packet):
        """The text that a subject must give for a packet; the last row that
        fits decides."""
        for row in reversed(self._rows):
            if row.matches(packet):
                text = row.cells[subject]
                return packet.text if text == AS_CASE else text
        return packet.text

    def unused(self):
        """Rows that no packet has matched."""
        return [f"differences.md:{r.number}: no such packet"
                for r in self._rows if not r.used]


class _Row:
    def __init__(self, number, cells):
        self.number = number
        self.case, packet = cells[:2]
        # "PACKET = OUTCOME": only where the case says so.
        self.packet, _, self.where = packet.partition(" = ")
        self.cells = dict(zip(COLUMNS, cells[2:]))
        self.used = False
        if len(set(self.cells.values())) == 1:
            raise ValueError(f"differences.md:{number}: no difference")

    def matches(self, packet):
        if (fnmatch.fnmatchcase(packet.instance.id, self.case) and
                fnmatch.fnmatchcase(packet.id, self.packet) and
                self.where in ("", packet.text)):
            self.used = True
            return True
        return False
