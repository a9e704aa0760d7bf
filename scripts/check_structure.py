#!/usr/bin/env python3
"""No two files of a crate need each other, and no file is too long.

A file needs another where its code names something that is defined there: by `use`, or by a path that
starts with `crate`, `super`, `self` or a module's name. What is only handed on (`pub use`) is needed by
whoever names it, not by the file that hands it on; so the face of a folder (`mod.rs`, `lib.rs`) is in no
circle as long as it defines nothing that its files need and needs them itself. Tests at the foot of a file
are left out.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_LINES = 500
# Kernels: loops that are read as one.
KERNELS = ("crates/mbspike-core/src/conv/", "crates/mbspike-lif/src/fused/")

TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(?P<hashes>\#*)".*?"(?P=hashes)|b?"(?:\\.|[^"\\])*"|b?'(?:\\[^']+|[^'\\])'""",
    re.DOTALL,
)
DEFINITION = re.compile(
    r"\b(?:fn|struct|enum|trait|const|static|type|union|mod|macro_rules!)\s+(?:mut\s+)?([A-Za-z_]\w*)"
)
MODULE = re.compile(r"\bmod\s+([a-z_]\w*)\s*([;{])")
USE = re.compile(r"(\bpub(?:\([^)]*\))?\s+)?\buse\s+([^;]+);")
PATH = re.compile(r"(?<![\w:])((?:[A-Za-z_]\w*::)+[A-Za-z_]\w*)")


def code_of(text):
    """The text without comments, strings and what is compiled for tests only."""
    text = TOKEN.sub(lambda found: " " if found[0][0] == "/" else '""', text)
    while found := re.search(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*", text):
        end, depth = found.end(), 0
        while end < len(text):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
            if depth == 0 and text[end - 1] in "};":
                break
        text = text[: found.start()] + text[end:]
    return text


def uses_in(tree, prefix=()):
    """The paths of a tree of `use`, each with the name that it has here."""
    tree = tree.strip()
    if not tree:
        return
    depth, parts, start = 0, [], 0
    for i, c in enumerate(tree):
        depth += {"{": 1, "}": -1}.get(c, 0)
        if c == "," and depth == 0:
            parts.append(tree[start:i])
            start = i + 1
    parts.append(tree[start:])
    if len(parts) > 1:
        for part in parts:
            yield from uses_in(part, prefix)
        return
    head, _, rest = tree.partition("{")
    if rest:
        yield from uses_in(rest.rstrip().removesuffix("}"), prefix + segments(head))
        return
    path, _, alias = tree.partition(" as ")
    path = prefix + segments(path)
    if path[-1] == "self" and len(path) > 1:
        path = path[:-1]
    yield path, alias.strip() or path[-1]


def segments(text):
    return tuple(part.strip() for part in text.split("::") if part.strip())


class Module:
    def __init__(self, path, file, code, parent):
        self.path, self.file, self.parent, self.children = path, file, parent, {}
        self.imports, self.globs, self.handed_on = {}, [], set()
        self.code = USE.sub(self.import_, code)
        self.defined = set(DEFINITION.findall(self.code))
        self.words = set(re.findall(r"\w+", MODULE.sub(" ", self.code)))

    def import_(self, found):
        for path, name in uses_in(found[2]):
            if name == "*":
                self.globs.append(path)
            else:
                self.imports[name] = path
                if found[1]:
                    self.handed_on.add(name)
        return " "


def read(path, file, parent=None):
    module = Module(path, file, code_of(file.read_text()), parent)
    folder = file.parent if file.name in ("mod.rs", "lib.rs", "main.rs") else file.with_suffix("")
    for name, sign in MODULE.findall(module.code):
        for candidate in (folder / f"{name}.rs", folder / name / "mod.rs"):
            if sign == ";" and candidate.is_file():
                module.children[name] = read(path + (name,), candidate, module)
    return module


def all_of(module):
    yield module
    for child in module.children.values():
        yield from all_of(child)


def resolve(root, module, path, seen=()):
    """The module that defines what `path` names in `module`; none if it is not of this crate."""
    here, rest = module, list(path)
    if rest[0] == "crate":
        here, rest = root, rest[1:]
    while rest and rest[0] in ("self", "super"):
        here = here.parent if rest[0] == "super" else here
        rest = rest[1:]
        if here is None:
            return None
    while rest:
        name, key = rest[0], (here.path, rest[0])
        if name in here.children:
            here, rest = here.children[name], rest[1:]
        elif name in here.defined:
            return here
        elif key in seen:
            return None
        elif name in here.imports:
            return resolve(root, here, here.imports[name] + tuple(rest[1:]), (*seen, key))
        else:
            for glob in here.globs:
                found = resolve(root, here, (*glob[:-1], *rest), (*seen, key))
                if found:
                    return found
            return None
    return here


def needs_of(root, module):
    """What a file needs: the file of each name that its code takes from another."""
    paths = {path for name, path in module.imports.items() if name not in module.handed_on}
    paths |= {module.imports[name] for name in module.handed_on & module.words}
    paths |= {segments(found) for found in PATH.findall(module.code)}
    needs = {}
    for path in paths:
        local = path[0] in ("crate", "super", "self") or path[0] in module.children
        if local or path[0] in module.imports:
            found = resolve(root, module, path)
            if found and found.file != module.file:
                needs.setdefault(found.file, set()).add(path[-1])
    return needs


def circles(needs):
    """Groups of files that need each other (Tarjan 1972)."""
    index, low, stack, found = {}, {}, [], []

    def visit(file):
        index[file] = low[file] = len(index)
        stack.append(file)
        for other in needs[file]:
            if other not in index:
                visit(other)
                low[file] = min(low[file], low[other])
            elif other in stack:
                low[file] = min(low[file], index[other])
        if low[file] == index[file]:
            group = set(stack[stack.index(file) :])
            del stack[stack.index(file) :]
            if len(group) > 1:
                found.append(group)

    for file in needs:
        if file not in index:
            visit(file)
    return found


def main():
    faults, n_files, n_arrows = [], 0, 0
    for start in sorted(ROOT.glob("crates/*/src/lib.rs")) + sorted(ROOT.glob("crates/*/src/main.rs")):
        root = read((), start)
        needs = {module.file: needs_of(root, module) for module in all_of(root)}
        n_files, n_arrows = n_files + len(needs), n_arrows + sum(map(len, needs.values()))
        for group in circles(needs):
            faults.append("these files need each other:")
            for file in sorted(group):
                for other in sorted(needs[file].keys() & group):
                    names = ", ".join(sorted(needs[file][other]))
                    faults.append(f"  {file.relative_to(ROOT)} -> {other.relative_to(ROOT)}: {names}")
    for file in sorted(ROOT.glob("crates/**/*.rs")):
        name, n_lines = str(file.relative_to(ROOT)), len(file.read_text().splitlines())
        if n_lines > MOST_LINES and not name.startswith(KERNELS):
            faults.append(f"{name}: {n_lines} lines, more than {MOST_LINES}; split it by meaning")
    if faults:
        print("\n".join(faults))
    if n_arrows < n_files:
        sys.exit(f"only {n_arrows} needs of {n_files} files were seen: the check itself is broken")
    print(f"{n_files} files, {n_arrows} needs")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
