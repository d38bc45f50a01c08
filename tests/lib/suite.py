# SPDX-License-Identifier: GPL-2.0-or-later
"""All tests, part by part; the last line printed is the sum.

unit   meson's tests (unit, fuzz corpora, kernel facts, checks), plain build
asan   the same with AddressSanitizer and UndefinedBehaviorSanitizer
tsan   those of the proxy and of the loop with ThreadSanitizer
golden manifests, their plan and their ruleset, ASan build
differential  random manifests: their plan against a model of the rules
netns  the whole daemon in namespaces, fed with manifests, ASan build
e2e    the whole daemon beside a real API server, ASan build
conformance  the cases of tests/conformance with nodesplice as the proxy and
       by the kernel alone, ASan build
soak   some seconds of a mixed load with endpoint churn, by 1, 2 and 8 workers,
       ASan and TSan build
oracle (with --all, or named) what both must do, and the cases of conformance,
       with kube-proxy as the program under test: shows that the tests ask for
       what Kubernetes does
"""
import argparse
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

# pylint: disable=wrong-import-position
from lib import kube

TOP = os.path.dirname(os.path.dirname(HERE))
# Warnings are errors in the plain build alone: what sanitizers insert makes
# GCC warn of paths that no source line has.
BUILDS = {
    "plain": ["-Dwerror=true"],
    "asan": ["-Db_sanitize=address,undefined", "-Db_lundef=false"],
    "tsan": ["-Db_sanitize=thread", "-Db_lundef=false"],
}
THREADED = re.compile(r"px|outlier|pick|eptable|loop|mailbox|timer")
# A skip with this in front says that this kernel cannot do it at all.
CANNOT = "kernel: "
GO_VERSION = "1.26.8"
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=0:second_deadlock_stack=1",
}


class Count:
    """Tests passed, failed, skipped; and the names of the latter two."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.notes = []

    def add(self, result, name, why="", n=1):
        # In CI a test must run where it can.
        if result == "skipped" and os.environ.get("CI") == "true":
            if not why.startswith(CANNOT):
                result, why = "failed", f"skipped in CI: {why}"
        setattr(self, result, getattr(self, result) + n)
        if result != "passed":
            self.notes.append(f"{result}: {name} {why}".rstrip())

    def line(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def call(argv, **kwargs):
    print("+ " + " ".join(argv), flush=True)
    return subprocess.run(argv, cwd=TOP, check=False, **kwargs).returncode


def build(name):
    """The build folder, up to date; None if it does not build."""
    folder = f"{TOP}/build-{name}"
    if not os.path.exists(f"{folder}/build.ninja"):
        if call(["meson", "setup", folder, *BUILDS[name]]):
            return None
    return None if call(["ninja", "-C", folder]) else folder


def meson_names(folder, wanted):
    out = subprocess.run(["meson", "introspect", "--tests", folder],
                         capture_output=True, text=True, check=True).stdout
    return [t["name"] for t in json.loads(out) if wanted(t["name"])]


def count_meson(folder, count):
    """Each cmocka test counts; any other program counts as one."""
    with open(f"{folder}/meson-logs/testlog.json", encoding="utf-8") as f:
        for line in f:
            test = json.loads(line)
            output = test.get("stdout") or ""
            output += test.get("stderr") or ""
            groups = re.findall(r"\[  (PASSED|FAILED|SKIPPED) +\] "
                                r"(\d+) test\(s\)", output)
            if test["result"] in ("OK", "EXPECTEDFAIL"):
                if not groups:
                    count.add("passed", test["name"])
                for word, n in groups:
                    if int(n):
                        count.add(word.lower(), test["name"], n=int(n))
            elif test["result"] == "SKIP":
                count.add("skipped", test["name"], output.strip()[-200:])
            else:
                count.add("failed", test["name"], test["result"])


def run_meson(name, count, only, wanted=lambda name: True):
    folder = build(name)
    if folder is None:
        count.add("failed", f"build-{name}", "does not build")
        return
    names = meson_names(
        folder, lambda n: wanted(n) and (not only or only in n))
    if not names:
        return
    # Without randomization: ThreadSanitizer of GCC 12 does not start where
    # the kernel uses more than 28 random bits.
    call(["setarch", "--addr-no-randomize", "meson", "test", "-C", folder,
          "--no-rebuild", "--print-errorlogs", "--num-processes", "2", *names],
         env={**os.environ, **SANITIZERS})
    count_meson(folder, count)


def run_pytest(part, count, only, folders, *options):
    folder = build("asan")
    if folder is None:
        count.add("failed", part, "the daemon does not build")
        return
    report = f"{folder}/{part}.xml"
    if os.path.exists(report):
        os.unlink(report)
    call(["/usr/bin/python3", "-m", "pytest", "-q", "--junitxml", report,
          "-c", f"{TOP}/tests/pytest.ini",
          f"--nodesplice={folder}/nodesplice", *options, *(["-k", only] if only else []),
          *(f"{TOP}/tests/{name}" for name in folders)],
         env={**os.environ, **SANITIZERS, "PYTHONDONTWRITEBYTECODE": "1"})
    if not os.path.exists(report):
        count.add("failed", part, "pytest did not run")
        return
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        skip = case.find("skipped")
        if skip is not None:
            count.add("skipped", name, skip.get("message") or "")
        elif case.find("failure") is not None or \
                case.find("error") is not None:
            count.add("failed", name)
        else:
            count.add("passed", name)


def run_conformance(count, only, *options):
    """It prints its failures itself and ends with its sum."""
    folder = build("asan")
    if folder is None:
        count.add("failed", "conformance", "the daemon does not build")
        return
    argv = [f"{TOP}/tests/conformance/run", "--nodesplice",
            f"{folder}/nodesplice", *options,
            *(["--only", only] if only else [])]
    print("+ " + " ".join(argv), flush=True)
    with subprocess.Popen(argv, cwd=TOP, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, **SANITIZERS}) as program:
        last = ""
        for line in program.stdout:
            print(line, end="", flush=True)
            if line.startswith("failed: "):
                count.notes.append(line.rstrip())
            last = line
    m = re.match(r"(\d+) passed, (\d+) failed$", last)
    if not m:
        count.add("failed", "conformance", "did not run to its end")
        return
    count.passed += int(m[1])
    count.failed += int(m[2])


def run_soak(count, only):
    """Each number of workers is a test of each build."""
    if only and only not in "soak":
        return
    for name in ("asan", "tsan"):
        folder = build(name)
        if folder is None:
            count.add("failed", f"soak {name}", "the daemon does not build")
            continue
        argv = ["setarch", "--addr-no-randomize", f"{TOP}/tests/soak/mixed",
                "--nodesplice", f"{folder}/nodesplice", "--seconds", "6",
                "--phases", "2", "--clients", "12"]
        print("+ " + " ".join(argv), flush=True)
        done = subprocess.run(argv, cwd=TOP, check=False, text=True,
                              stdout=subprocess.PIPE,
                              env={**os.environ, **SANITIZERS})
        print(done.stdout, end="", flush=True)
        wrong = re.findall(r"^mixed, .*; (\d+) wrong$", done.stdout, re.M)
        for n in wrong:
            count.add("failed" if int(n) else "passed", f"soak {name}")
        if done.returncode and not any(map(int, wrong)):
            count.add("failed", f"soak {name}", "did not run to its end")


def go_program():
    """A Go that is new enough; fetched through Go's own module proxy if the
    machine has none (Debian 12 has 1.19, which can fetch and verify it)."""
    wanted = tuple(int(n) for n in GO_VERSION.split(".")[:2])
    for go in ("go", "/usr/local/go/bin/go"):
        try:
            out = subprocess.run([go, "version"], capture_output=True,
                                 text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            continue
        m = re.search(r"go(\d+)\.(\d+)", out)
        if m and (int(m[1]), int(m[2])) >= wanted:
            return go
    if call(["apt-get", "install", "-y", "-q", "--no-install-recommends",
             "golang-go"]):
        raise SystemExit("no Go, and none could be installed")
    module = f"golang.org/toolchain@v0.0.1-go{GO_VERSION}.linux-amd64"
    out = subprocess.run(["go", "mod", "download", "-json", module],
                         capture_output=True, text=True, check=True).stdout
    folder = json.loads(out)["Dir"]
    for sub in ("bin", "pkg/tool/linux_amd64"):
        for name in os.listdir(f"{folder}/{sub}"):
            os.chmod(f"{folder}/{sub}/{name}", 0o755)
    return f"{folder}/bin/go"


def need_kube():
    if not all(os.path.exists(f"{kube.cache_dir()}/{name}")
               for name in kube.PROGRAMS):
        print("building kube-apiserver and kube-proxy, once: ~7 min",
              flush=True)
        kube.build(go_program())


def main():
    parts = ("unit", "asan", "tsan", "golden", "differential", "netns", "e2e",
             "conformance", "soak", "oracle")
    parser = argparse.ArgumentParser(prog="tests/run")
    parser.add_argument("--only", metavar="PATTERN",
                        help="only tests whose name has it")
    parser.add_argument("--all", action="store_true",
                        help="the oracle as well")
    parser.add_argument("parts", nargs="*", metavar="PART",
                        help="of: " + " ".join(parts))
    args = parser.parse_args()
    unknown = set(args.parts) - set(parts)
    if unknown:
        parser.error(f"no such part: {' '.join(sorted(unknown))}")
    count = Count()
    chosen = args.parts or (parts if args.all else parts[:-1])
    for part in [p for p in parts if p in chosen]:
        print(f"=== {part}", flush=True)
        if part == "unit":
            run_meson("plain", count, args.only)
        elif part == "asan":
            run_meson("asan", count, args.only)
        elif part == "tsan":
            run_meson("tsan", count, args.only, THREADED.search)
        elif part in ("golden", "differential", "netns"):
            run_pytest(part, count, args.only, [part])
        elif part == "e2e":
            need_kube()
            run_pytest(part, count, args.only, ["e2e"])
        elif part == "conformance":
            need_kube()
            run_conformance(count, args.only)
        elif part == "soak":
            run_soak(count, args.only)
        else:
            need_kube()
            run_pytest(part, count, args.only, ["netns", "e2e"],
                       "--subject=kube-proxy")
            run_conformance(count, args.only, "--subject", "kube-proxy")
    for note in count.notes:
        print(note)
    print(count.line())
    return 0 if count.failed == 0 and count.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
