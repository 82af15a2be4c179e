# SPDX-License-Identifier: Apache-2.0
"""What the checks share: the files of the tree, C text without comments, the report.

A line is exempt from a check when it carries the comment "lint:" and a reason, or when
such a comment stands alone on the line above. A statement of several lines is exempt
when one of them is.

LINT_ROOT   the tree to check (default: the one this file is in)
LINT_BUILD  its build directory, holding obj/ and gen/ (default: build)
"""

import os
import re
import subprocess
import sys
from bisect import bisect_right
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

ROOT = Path(os.environ.get("LINT_ROOT") or Path(__file__).resolve().parents[2])
BUILD = ROOT / (os.environ.get("LINT_BUILD") or "build")

LEAVES = ("rootfs", "netns", "policy")
FOLDERS = ("base", *LEAVES, "runtime", "tools")

_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S
)
_EXEMPT = re.compile(r"\blint:\s*\w")


def tree_files(*suffixes):
    """The files that are tracked or could be, sorted; all of them without suffixes."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "-C", ROOT, "ls-files", "-z", "-co", "--exclude-standard"],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout.split("\0")
        names = [name for name in listed if name]
    else:
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*")]
    keep = []
    for name in sorted(set(names)):
        if name.startswith("build/") or not (ROOT / name).is_file():
            continue
        if not suffixes or name.endswith(suffixes):
            keep.append(name)
    return keep


def entries(name):
    """The lines of a list beside the checks as (line number, text), without comments."""
    path = ROOT / "tests/lint" / name
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            found.append((number, text))
    return found


class Call(NamedTuple):
    name: str
    code: str  # the arguments, strings blanked
    raw: str  # the arguments as written
    first: int  # line numbers
    last: int


class Function(NamedTuple):
    name: str
    first: int  # line numbers, from the return type to the closing brace
    last: int
    start: int  # positions of the body
    end: int


class Source:
    """A C file; `code` is its text with comments and the insides of strings blanked."""

    def __init__(self, path):
        self.path = path
        self.raw = (ROOT / path).read_text(errors="replace")
        self.comments = [m for m in _TOKEN.finditer(self.raw) if m[0][0] == "/"]
        self.code = _TOKEN.sub(_blank, self.raw)
        self._starts = [0] + [m.end() for m in re.finditer("\n", self.raw)]

    def line(self, pos):
        return bisect_right(self._starts, pos)

    @cached_property
    def _exempt(self):
        lines = set()
        code = self.code.split("\n")
        for comment in self.comments:
            if not _EXEMPT.search(comment[0]):
                continue
            first, last = self.line(comment.start()), self.line(comment.end() - 1)
            lines.update(range(first, last + 1))
            if not any(code[n - 1].strip() for n in range(first, last + 1)):
                lines.add(last + 1)
        return lines

    def exempt(self, first, last=None):
        return not self._exempt.isdisjoint(range(first, (last or first) + 1))

    def closing(self, pos):
        """The position of the bracket that closes the one at pos."""
        depth = 0
        for i in range(pos, len(self.code)):
            if self.code[i] in "([{":
                depth += 1
            elif self.code[i] in ")]}":
                depth -= 1
                if depth == 0:
                    return i
        return len(self.code) - 1

    def calls(self, names):
        """Calls of the named functions; neither members nor longer names."""
        pattern = r"(?<![\w.])(?<!->)(" + "|".join(names) + r")\s*\("
        for m in re.finditer(pattern, self.code):
            end = self.closing(m.end() - 1)
            yield Call(
                m[1],
                self.code[m.end() : end],
                self.raw[m.end() : end],
                self.line(m.start()),
                self.line(end),
            )

    def functions(self):
        """Function definitions, found by the brace in the first column."""
        lines = self.code.split("\n")
        for m in re.finditer(r"^\{", self.code, re.M):
            top = bottom = self.line(m.start()) - 1  # index of the brace's line
            while top and not _ends_item(lines[top - 1]):
                top -= 1
            name = _defined_name(" ".join(lines[top:bottom]))
            end = self.closing(m.start())
            if name:
                yield Function(name, top + 1, self.line(end), m.start(), end)


def _blank(token):
    text = token[0]
    if text[0] == "/":
        return re.sub(r"[^\n]", " ", text)
    return text[0] + re.sub(r"[^\n]", " ", text[1:-1]) + text[-1]


def _ends_item(line):
    text = line.strip()
    return not text or text[0] in "#}" or text[-1] in ";}\\"


def _defined_name(signature):
    """The identifier before the last pair of parentheses of the signature."""
    text = signature.rstrip()
    if not text.endswith(")"):
        return None
    depth = 0
    for i in range(len(text) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(text[i], 0)
        if depth == 0:
            m = re.search(r"(\w+)\s*$", text[:i])
            return m[1] if m else None
    return None


def undefined_symbols(obj):
    """What the object needs from others; fortified names as their plain ones."""
    return {plain_name(s[0]) for s in _nm("-u", obj)}


def defined_symbols(obj):
    return {s[0] for s in _nm("-g", "--defined-only", obj)}


def writable_symbols(obj):
    """Names of mutable objects of static storage. Relocated constants do not count."""
    section = re.compile(r"^(\.(data|bss|tdata|tbss)(\.(?!rel\.ro).*)?|\*COM\*)$")
    return {s[0] for s in _nm("--defined-only", obj) if section.match(s[-1])}


def plain_name(symbol):
    m = re.match(r"__(\w+)_chk$", symbol)
    return m[1] if m else symbol


def _nm(*args):
    """Rows of `nm -f sysv`: name without version first, section last."""
    out = subprocess.run(
        ["nm", "-f", "sysv", *args], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    for line in out.splitlines():
        columns = [c.strip() for c in line.split("|")]
        if len(columns) == 7 and columns[0] != "Name":
            yield columns[0].split("@")[0], columns[6]


class Report:
    """Collects violations as file:line: text."""

    def __init__(self):
        self.failures = []

    def fail(self, path, line, text):
        self.failures.append((str(path), line, text))

    def finish(self):
        for path, line, text in sorted(set(self.failures)):
            print(f"{path}:{line}: {text}" if line else f"{path}: {text}")
        if self.failures:
            sys.exit(1)
        print("ok")
