#!/usr/bin/env python3
"""Draws the tables of a benchmark record: draw_table.py docs/benchmarks/cpu.json > docs/benchmarks/cpu.md"""
import json
import sys

COLUMNS = "| case | dtype | ours | B0 | B1 | ours is faster than B0 (p10 – p90) | than B1 (p10 – p90) | of the roof |"
RULE = "|---|---|---|---|---|---|---|---|"


def milliseconds(value):
    if value is None:
        return "–"
    return f"{value * 1000:.3g} µs" if value < 1 else f"{value:.3g} ms" if value < 1000 else f"{value / 1000:.3g} s"


def ratio(value, low, high):
    if value is None:
        return "–"
    spread = "" if low is None or high is None else f" ({low:.2f} – {high:.2f})"
    return f"**{value:.2f}**{spread}"


def share(value):
    return "–" if value is None else f"{100 * value:.0f} %"


def line(row):
    cells = [
        row["case"],
        row["dtype"],
        milliseconds(row["ours_ms"]),
        milliseconds(row["b0_ms"]),
        milliseconds(row["b1_ms"]),
        ratio(row["ratio_b0"], row["p10"], row["p90"]),
        ratio(row["ratio_b1"], row.get("p10_b1"), row.get("p90_b1")),
        share(row["fraction_of_roof"]),
    ]
    return "| " + " | ".join(cells) + " |"


def draw(record):
    machine = ", ".join(f"{name} {value}" for name, value in record["machine"].items())
    roofs = ", ".join(f"{name} {value:.1f}" for name, value in record["roofs"].items())
    lines = [
        "# Benchmark record",
        "",
        f"{record['date']}; {machine}. Roofs of the same run: {roofs}.",
        "",
        f"Measured with `{record['command']}`, drawn with `tests/benchmarks/draw_table.py`. B0 is the peer's",
        "sequence op for op on LibTorch, B1 the fastest composition of public LibTorch functions; each op's",
        "file under `tests/benchmarks/` says which. Ratios are medians of interleaved pairs.",
    ]
    for op in dict.fromkeys(row["op"] for row in record["rows"]):
        lines += ["", f"## {op}", "", COLUMNS, RULE]
        rows = [row for row in record["rows"] if row["op"] == op]
        lines += [line(row) for row in rows]
        shares = [
            f"{share(row['fraction_of_products_rate'])} ({row['case']}, {row['dtype']})"
            for row in rows
            if "fraction_of_products_rate" in row
        ]
        if shares:
            lines += ["", "Of the rate of the layers' products alone, in the same run: " + "; ".join(shares) + "."]
    slower = [row for row in record["rows"] if row["ratio_b1"] is not None and row["ratio_b1"] < 1.0]
    lines += ["", "## Where B1 is faster", ""]
    lines += [f"- {row['op']}: {row['case']}, {row['dtype']} ({row['ratio_b1']:.2f})" for row in slower]
    if not slower:
        lines.append("Nowhere.")
    return "\n".join(lines) + "\n"


def main():
    if len(sys.argv) != 2:
        sys.exit("draw_table.py: expected one argument, the record's JSON file")
    with open(sys.argv[1], encoding="utf-8") as file:
        sys.stdout.write(draw(json.load(file)))


if __name__ == "__main__":
    main()
