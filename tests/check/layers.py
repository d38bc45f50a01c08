#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Check the include direction of src/ and include/.

    layers.py ROOT

Prints one line per violation; exit code 1 if there is any, 2 if there is
nothing to check.  The rules are the two tables below; src/README.md says why.
"""

import pathlib
import re
import sys

# Which layers, or single public headers, a layer may include beside its own.
# The headers in observe's row hold the counters and the status that it prints.
MAY_INCLUDE = {
    "base": [],
    "loop": ["base"],
    "model": ["base"],
    "plan": ["base", "model"],
    "source": ["base", "loop", "model"],
    "nft": ["base", "loop", "model/policy.h", "plan"],
    "proxy": ["base", "loop", "model/policy.h", "plan"],
    "observe": ["base", "loop", "model", "plan", "nft/conntrack.h",
                "nft/nfp.h", "proxy/px.h", "proxy/stats.h",
                "source/source.h"],
    "app": ["base", "loop", "model", "plan", "source", "nft", "proxy",
            "observe"],
}

# Who may use a library: the only place that knows of it.
LIBRARY_USERS = {
    "uthash.h": ["base"],
    "jsmn.h": ["source"],
    "yaml.h": ["source"],
    "curl/": ["source"],
    "openssl/": ["source"],
    "libmnl/": ["nft"],
    "libnftnl/": ["nft"],
    "libnetfilter_conntrack/": ["nft"],
    "linux/netfilter/nf_tables.h": ["nft"],
    "microhttpd.h": ["observe"],
    "cap-ng.h": ["app"],
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def allowed(layer, other, name):
    """Whether files of `layer` may include include/nodesplice/other/name."""
    return other == layer or other in MAY_INCLUDE[layer] or \
        f"{other}/{name}" in MAY_INCLUDE[layer]


def judge_ours(root, path, layer, target):
    """What is wrong with #include "target", or None."""
    parts = target.split("/")
    if parts[0] != "nodesplice":
        if len(parts) > 1:
            return "a private header of another folder"
        if "include" in path.relative_to(root).parts:
            return "a private header in a public one"
        if not (path.parent / target).is_file():
            return "no such file beside this one"
        return None
    if len(parts) != 3 or not (root / "include" / target).is_file():
        return "no such public header"
    if not allowed(layer, parts[1], parts[2]):
        return f"{layer} must not include {parts[1]}"
    return None


def judge_library(layer, target):
    """What is wrong with #include <target>, or None."""
    for prefix, users in LIBRARY_USERS.items():
        if target.startswith(prefix) and layer not in users:
            return f"{layer} must not use this library"
    if target.startswith("nodesplice/"):
        return "our own headers are included with quotes"
    return None


def check_file(root, path, layer):
    """Yield the violations in one file."""
    text = path.read_text(encoding="utf-8")
    for match in INCLUDE.finditer(text):
        quote, target = match.groups()
        why = judge_ours(root, path, layer, target) if quote == '"' else \
            judge_library(layer, target)
        if why:
            line = text.count("\n", 0, match.start(2)) + 1
            yield f"{path.relative_to(root)}:{line}: {target}: {why}"


def files(root):
    """Yield every C file of the layers with its layer's name."""
    for top in (root / "src", root / "include" / "nodesplice"):
        for path in sorted(top.rglob("*.[ch]")):
            yield path, path.relative_to(top).parts[0]


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    found = list(files(root))
    violations = []
    for path, layer in found:
        if layer not in MAY_INCLUDE:
            violations.append(f"{path.relative_to(root)}: {layer} is no layer")
            continue
        violations += check_file(root, path, layer)
    print("\n".join(violations), end="\n" if violations else "")
    if not found:
        print(f"{root}: no sources found", file=sys.stderr)
        return 2
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
