#!/usr/bin/env python3
"""Prints the notices and licences of all that is linked into the static binary: the crates, Rust's std, musl.

    ci/package/third-party.py TARGET

A crate without a licence file under the MIT licence is an error: its terms have to be read first.
"""

import json
import pathlib
import subprocess
import sys

# Both are parts of Rust's target for musl, whose files bring no notice.
TOOLCHAIN = """\
The standard library of Rust, Copyright (c) The Rust Project Contributors, and musl, Copyright (c) 2005-2020 Rich Felker,
et al., are used under the MIT licence, whose terms are those below. LLVM's libunwind is used under the Apache License
2.0 with LLVM Exceptions, which asks for no notice in a linked program.
"""


def linked(target):
    """The packages that are linked: no procedural macros, no build scripts and what these need."""
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--features=cli", f"--filter-platform={target}"]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting = [package["id"] for package in packages.values() if package["name"] == "filelocket"]
    found = set()
    while waiting:
        package = waiting.pop()
        is_macro = any("proc-macro" in target["kind"] for target in packages[package]["targets"])
        if package in found or is_macro:
            continue
        found.add(package)
        for dependency in nodes[package]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    return sorted((packages[it] for it in found if packages[it]["source"]), key=lambda it: it["name"])


def licence(package):
    """Its terms: of several the MIT licence, which all the crates offer so far."""
    directory = pathlib.Path(package["manifest_path"]).parent
    for name in ("LICENSE-MIT", "LICENSE"):
        file = directory / name
        if file.exists():
            text = file.read_text(encoding="utf-8").replace("\r\n", "\n").strip()
            if "Permission is hereby granted, free of charge" in text:
                return text
    sys.exit(f"{package['name']} {package['version']} ({package['license']}) has no file with the MIT licence")


def main():
    owners = {}
    for package in linked(sys.argv[1]):
        owners.setdefault(licence(package), []).append(f"{package['name']} {package['version']}")
    print("What is linked into this build of Locket, and its licences\n")
    print(TOOLCHAIN)
    for text, names in sorted(owners.items(), key=lambda it: it[1]):
        print("-" * 100, ", ".join(names), "", text, "", sep="\n")


if __name__ == "__main__":
    main()
