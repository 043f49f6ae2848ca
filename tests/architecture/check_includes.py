#!/usr/bin/env python3
"""Fails when an #include goes up or sideways, or a third-party library leaves its room.

The floors are those of docs/architecture.md: profiler > model, analysis > runtime > kernels, outputs.
"""
import pathlib
import re
import sys
import tempfile

MAY_INCLUDE = {
    "outputs": {"outputs"},
    "kernels": {"kernels"},
    "runtime": {"runtime", "kernels", "outputs"},
    "analysis": {"analysis", "outputs"},
    "model": {"model", "runtime", "outputs"},
    "profiler": {"profiler", "analysis", "model", "runtime", "kernels", "outputs"},
}
# Of outputs/, the runtime takes the plan and what the plan is made of.
RUNTIME_OF_OUTPUTS = {
    "budget_plan.h", "plan_json.h", "model_shape.h", "provenance.h", "input_error.h", "model_match.h",
    "head_matrix.h", "atomic_file.h",
}
# Library header pattern -> where it may be included.
ROOMS = [
    (re.compile(r"^(hdf5|H5).*"), re.compile(r"^outputs/hdf5_handle\.h$")),
    (re.compile(r"^cairo"), re.compile(r"^outputs/canvas\.cpp$")),
    (re.compile(r"^CLI/"), re.compile(r"^profiler/cli/")),
    (re.compile(r"^Eigen/"), re.compile(r"^analysis/")),
    (re.compile(r"^nlohmann/"), re.compile(r"^(outputs|model|profiler)/")),
    (re.compile(r"^(torch|ATen|c10)/"), re.compile(r"^(kernels|runtime|model|profiler)/")),
    (re.compile(r"^torch/torch\.h"), re.compile(r"^$")),
]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def violations(root):
    for folder in MAY_INCLUDE:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in {".h", ".cpp", ".cu", ".cuh"}:
                continue
            name = path.relative_to(root).as_posix()
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                match = INCLUDE.match(line)
                if match:
                    for problem in check(folder, name, match.group(1), match.group(2)):
                        yield f"{name}:{number}: {problem}"


def check(folder, name, bracket, header):
    top = header.split("/")[0]
    if top in MAY_INCLUDE and "/" in header:
        if top not in MAY_INCLUDE[folder]:
            yield f"{folder}/ may not include {top}/ ({header})"
        if folder == "runtime" and top == "outputs" and header.split("/", 1)[1] not in RUNTIME_OF_OUTPUTS:
            yield f"runtime/ takes only the plan of outputs/, not {header}"
        if header.startswith("profiler/cli/") and not name.startswith("profiler/cli/"):
            yield f"nothing includes the program ({header})"
    elif bracket == '"':
        yield f'"{header}" is not spelled from the root'
    for pattern, room in ROOMS:
        if pattern.match(header) and not room.match(name):
            yield f"<{header}> does not belong here"


def self_test():
    cases = {
        "outputs/a.cpp": ['#include "kernels/ops.h"', "#include <cairo.h>", "#include <hdf5.h>"],
        "kernels/a.cpp": ['#include "outputs/x.h"', "#include <nlohmann/json.hpp>"],
        "runtime/a.cpp": ['#include "model/decoder.h"', '#include "outputs/hdf5_file.h"'],
        "analysis/a.cpp": ['#include "runtime/kv_cache.h"', "#include <ATen/ATen.h>"],
        "model/a.cpp": ['#include "kernels/ops.h"', '#include "config.h"', "#include <torch/torch.h>"],
        "profiler/a.cpp": ["#include <CLI/CLI.hpp>", '#include "profiler/cli/x.h"', "#include <Eigen/Core>"],
    }
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, lines in cases.items():
            for number, line in enumerate(lines):
                path = root / name.replace("a.cpp", f"a{number}.cpp")
                path.parent.mkdir(exist_ok=True)
                path.write_text(line + "\n", encoding="utf-8")
                if not list(violations(root)):
                    print(f"not caught: {name}: {line}")
                    return 1
                path.write_text('#include "outputs/model_shape.h"\n' if name[:7] not in ("kernels",)
                                else '#include "kernels/ops.h"\n', encoding="utf-8")
                if list(violations(root)):
                    print(f"caught, but allowed: {list(violations(root))}")
                    return 1
    return 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    found = list(violations(pathlib.Path(sys.argv[1])))
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
