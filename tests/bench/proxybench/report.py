# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of runs as tables, ratios and targets."""
import json
import statistics

# Of traffic and of idle connections: (key, title, digits).
COLUMNS = (
    ("rate", "{unit}", None),
    ("p50_us", "p50 us", 0),
    ("p99_us", "p99 us", 0),
    ("proxy_cpu", "proxy {cost}", None),
    ("all_cpu", "all {cost}", None),
    ("added", "all, to DNAT", None),
    ("rss", "RSS B/conn", 0),
    ("pss", "PSS B/conn", 0),
    ("kernel", "kernel B/conn", 0),
    ("idle_cpu", "CPU %", 3),
    ("errors", "errors", 0),
)
# What ends first, and whether it is the load: shares of a core in percent of
# each group's busiest thread, then the idle share of the machine.  Medians.
LOADS = (("client_busiest", "client"), ("server_busiest", "server"),
         ("proxy_busiest", "proxy"), ("ksoftirqd", "ksoftirqd"))
FACTORS = {"idle_cpu": 100.0}

# (measure, key, other subject or None, "at least" or "at most", bound):
# nodesplice by the other, or as it is.  Without a bound it is only told.
TARGETS = (
    ("stream-1", "rate", "dnat", "at least", 0.95),
    ("stream-8", "rate", "dnat", "at least", 0.95),
    ("stream-1", "proxy_cpu", "haproxy", "at most", 0.25),
    ("stream-8", "proxy_cpu", "haproxy", "at most", 0.25),
    ("stream-1", "proxy_cpu", "haproxy-splice", None, None),
    ("stream-8", "proxy_cpu", "haproxy-splice", None, None),
    ("stream-1", "proxy_cpu", "envoy", "at most", 0.35),
    ("stream-8", "proxy_cpu", "envoy", "at most", 0.35),
    ("connect", "rate", "haproxy", "at least", 1.2),
    ("connect", "rate", "dnat", "at least", 0.85),
    ("request-64", "rate", "haproxy", "at least", 1.15),
    ("request-64", "p99_us", "haproxy", "at most", 1.0),
    ("idle", "pss", None, "at most", 512),
    ("idle", "idle_cpu", None, "at most", 0.005),
)
NAMES = {"rate": "rate", "proxy_cpu": "proxy CPU", "p99_us": "p99",
         "pss": "user memory, B/connection", "idle_cpu": "CPU, of a core"}


def merge(paths):
    """Files of the same subjects, of other measures or of more rounds."""
    merged = None
    for path in paths:
        with open(path, encoding="utf-8") as f:
            one = json.load(f)
        if merged is None:
            merged = one
            continue
        for key in ("subjects", "measures"):
            for name, value in one[key].items():
                if merged[key].setdefault(name, value) != value:
                    raise SystemExit(f"proxies: {path}: another {name}: "
                                     f"{value}, {merged[key][name]} before")
        for measure, by_subject in one["results"].items():
            into = merged["results"].setdefault(measure, {})
            for subject, rows in by_subject.items():
                into.setdefault(subject, []).extend(rows)
    return merged


def values(found, measure, subject, key):
    """One number a round; empty if it isn't there."""
    rows = found["results"].get(measure, {}).get(subject, [])
    if key == "added":
        base = values(found, measure, "dnat", "all_cpu")
        own = values(found, measure, subject, "all_cpu")
        return [a - b for a, b in zip(own, base)] if subject != "dnat" else []
    numbers = [row.get(key) for row in rows]
    return numbers if None not in numbers else []


def ratios(found, measure, key, subject, other):
    """Round by round: what the machine did meanwhile was the same."""
    return [a / b for a, b in zip(values(found, measure, subject, key),
                                  values(found, measure, other, key)) if b]


def spread(numbers, digits=None, factor=1.0):
    """The median (the least - the most)."""
    if not numbers:
        return "-"
    numbers = [n * factor for n in numbers]
    middle = statistics.median(numbers)
    if digits is None:
        digits = 0 if abs(middle) >= 1000 else 1 if abs(middle) >= 20 else 2
    if len(numbers) == 1:
        return f"{middle:,.{digits}f}"
    return (f"{middle:,.{digits}f} "
            f"({min(numbers):,.{digits}f}-{max(numbers):,.{digits}f})")


def _aligned(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in
                               zip(row, widths)).rstrip() for row in rows)


def _loads(found, measure, subject):
    shares = []
    for key, title in LOADS:
        numbers = values(found, measure, subject, key)
        if numbers and any(numbers):
            shares.append(f"{title} {100 * statistics.median(numbers):.0f}")
    idle = statistics.median(values(found, measure, subject, "idle"))
    return f"{', '.join(shares)}; {100 * idle:.0f} idle"


def measure_table(found, measure):
    """One measure: a line for each subject."""
    m = found["measures"][measure]
    cost = {"stream": "s/GB", "connect": "us/conn"}.get(m["mode"],
                                                        "us/request")
    who = [s for s in found["subjects"] if found["results"][measure].get(s)]
    columns = [c for c in COLUMNS
               if any(values(found, measure, s, c[0]) for s in who)
               and not (c[0] == "errors" and not any(
                   any(values(found, measure, s, "errors")) for s in who))]
    head = [c[1].format(unit=m["unit"], cost=cost) for c in columns]
    rows = [[f"{m['title']} ({m['conns']:,})" if m["mode"] == "idle"
             else m["title"], *head]]
    if m["mode"] != "idle":
        rows[0].append("busiest thread of each, %; machine")
    for s in who:
        row = [f"  {found['subjects'][s]['title']}"]
        row += [spread(values(found, measure, s, key), digits,
                       FACTORS.get(key, 1.0)) for key, _, digits in columns]
        if m["mode"] != "idle":
            row.append(_loads(found, measure, s))
        rows.append(row)
    return _aligned(rows)


def targets(found, subject):
    """(measure, what, spread, bound, verdict) of what was measured."""
    for measure, key, other, direction, bound in TARGETS:
        numbers = (ratios(found, measure, key, subject, other) if other
                   else values(found, measure, subject, key))
        if not numbers:
            continue
        middle = statistics.median(numbers)
        met = (middle >= bound if direction == "at least"
               else middle <= bound if direction else None)
        what = NAMES[key]
        if other:
            what += f" / {found['subjects'][other]['title']}"
        yield (measure, what,
               spread(numbers, 2 if other else None if bound > 1 else 4),
               f"{direction} {bound:g}" if direction else "",
               "" if met is None else "met" if met else "not met")


def targets_table(found):
    builds = [s for s, v in found["subjects"].items() if v["build"]]
    rows = [["target", "", "median (least-most)", "bound", ""]]
    for s in builds:
        title = f"{s}: " if len(builds) > 1 else ""
        rows += [[f"  {measure}", title + what, *rest]
                 for measure, what, *rest in targets(found, s)]
    return _aligned(rows) if len(rows) > 1 else ""


# (title, measures, key, digits, factor) of the table for a document.
BRIEF = (
    ("throughput, 1 and 8 streams, Gbit/s", ("stream-1", "stream-8"), "rate",
     1, 1),
    ("proxy CPU, s/GB, 1 and 8 streams", ("stream-1", "stream-8"),
     "proxy_cpu", 2, 1),
    ("new connections, 1,000/s", ("connect",), "rate", 1, 1e-3),
    ("connect and first byte, 16 at a time, p50 and p99, ms",
     (("connect", "p50_us"), ("connect", "p99_us")), None, 1, 1e-3),
    ("proxy CPU, µs per connection", ("connect",), "proxy_cpu", 0, 1),
    ("kept requests, 1,000/s, by 1, 64, 1,000 connections",
     ("request-1", "request-64", "request-1000"), "rate", 1, 1e-3),
    ("the same, p99, ms", ("request-1", "request-64", "request-1000"),
     "p99_us", 1, 1e-3),
    ("proxy CPU, µs per request", ("request-1", "request-64",
                                   "request-1000"), "proxy_cpu", 0, 1),
    ("CPU of all, µs per connection, per request (64)",
     ("connect", "request-64"), "all_cpu", 0, 1),
    ("user memory, KiB per idle connection", ("idle",), "pss", 1, 1 / 1024),
    ("kernel memory of all ends, KiB", ("idle",), "kernel", 1, 1 / 1024),
    ("CPU with 8,000 idle ones, % of a core", ("idle",), "idle_cpu", 2, 100),
)


def markdown(found):
    """The medians, a row for each measure and a column for each subject."""
    lines = ["| " + " | ".join(["", *(v["title"] for v in
                                      found["subjects"].values())]) + " |",
             "|---" * (len(found["subjects"]) + 1) + "|"]
    for title, measures, key, digits, factor in BRIEF:
        row = [title]
        for subject in found["subjects"]:
            cells = []
            for m in measures:
                m, k = (m, key) if key else m
                numbers = values(found, m, subject, k)
                if numbers:
                    middle = factor * statistics.median(numbers)
                    cells.append(f"{middle:.{digits}f}")
            row.append(", ".join(cells) or "-")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def text(found):
    counts = [len(rows) for by in found["results"].values()
              for rows in by.values()]
    versions = dict.fromkeys(f"{s['title'].partition(',')[0]} {s['version']}"
                             for s in found["subjects"].values()
                             if s["version"])
    parts = [", ".join([f"Linux {found['kernel']}", f"{found['cpus']} CPUs",
                        *versions]) +
             f"; {max(counts, default=0)} rounds of {found['seconds']:g} s"]
    parts += [measure_table(found, m) for m in found["results"]]
    parts.append(targets_table(found))
    return "\n\n".join(p for p in parts if p)
