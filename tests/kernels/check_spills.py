#!/usr/bin/env python3
"""Fails when a CUDA kernel spills registers, or when a kernel was not compiled for every target.

    check_spills.py FOLDER CUDA_SOURCES...   FOLDER holds the *.cu.o.ptxas logs of the build
    check_spills.py --self-test
"""
import pathlib
import re
import sys

TARGETS = {"sm_80", "sm_90", "sm_100"}
ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(\w+)'")
SPILL = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")


def problems(name, log):
    """What is wrong in one log of ptxas -v."""
    targets, entry = {}, None
    for line in log.splitlines():
        if match := ENTRY.search(line):
            entry = match.group(1)
            targets.setdefault(entry, set()).add(match.group(2))
            target = match.group(2)
        elif (match := SPILL.search(line)) and entry:
            stores, loads = (int(number) for number in match.groups())
            if stores or loads:
                yield f"{name}: {entry} ({target}) spills {stores} bytes stored, {loads} loaded"
    if not targets:
        yield f"{name}: no kernel found"
    for entry, found in targets.items():
        if TARGETS - found:
            yield f"{name}: {entry} was not compiled for {', '.join(sorted(TARGETS - found))}"


def self_test():
    def log(target, stores):
        return (f"ptxas info    : Compiling entry function '_Zk' for '{target}'\n"
                f"    0 bytes stack frame, {stores} bytes spill stores, {stores} bytes spill loads\n")
    good = "".join(log(target, 0) for target in sorted(TARGETS))
    assert not list(problems("x", good))
    assert any("spills 8" in p for p in problems("x", good + log("sm_90", 8)))
    assert any("sm_80" in p for p in problems("x", log("sm_90", 0) + log("sm_100", 0)))
    assert any("no kernel" in p for p in problems("x", ""))
    return 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    folder, found = pathlib.Path(sys.argv[1]), []
    for source in sys.argv[2:]:
        logs = list(folder.rglob(pathlib.Path(source).name + ".o.ptxas"))
        if len(logs) != 1:
            found.append(f"{source}: {len(logs)} logs of ptxas under {folder}, expected 1")
        for log in logs:
            found += problems(log.name, log.read_text(encoding="utf-8"))
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
