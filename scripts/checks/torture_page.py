#!/usr/bin/env python3
"""Holds docs/torture.md against the reports of `broker torture --report` in docs/torture. With --update it writes the page.

A report in which something broke fails the check: it is no proof of anything. What is missing is told and fails nothing, as runs
take five minutes each.
"""

import json
import re
import sys
from pathlib import Path

# Providers with a server; from how long on a run counts.
PROVIDERS, ENOUGH = ["redis", "redis_pubsub", "kafka", "rabbitmq"], 300_000
PLACE = re.compile(r"(<!-- torture: runs -->\n).*?(<!-- torture end -->)", re.DOTALL)


def number(value):
    return f"{value:,}"


def name_of(run):
    settings = ", ".join(f"{key} = {value}" for key, value in sorted(run["settings"].items()))
    return f"`{run['provider']}`" + (f", {settings}" if settings else "")


def length_of(run):
    seconds = run["took_ms"] / 1000
    told = f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
    return told if run["took_ms"] >= ENOUGH else f"{told}, a trial"


def table(head, rows):
    return "\n".join(["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]])


def summary(runs):
    """One row for each run: what was lost, and the rest of the ledger's verdict."""
    head = ["provider", "server", "for", "stored", "faults", "lost", "never settled", "came again: explained", "unexplained", "out of order", "seed"]
    rows = []
    for run in runs:
        verdict = run["verdict"]
        # Nothing is wrong with the run, so that what came out of order was not promised in order.
        order = number(verdict["reordered"]) + (" (not claimed)" if verdict["reordered"] else "")
        rows.append([
            name_of(run), run["server"] or "", length_of(run), number(verdict["published"]),
            number(sum(fault["count"] for fault in run["faults"].values())), number(verdict["lost"]), number(run["unsettled"]),
            number(verdict["redelivered"]), number(verdict["duplicated"]), order, str(run["seed"]),
        ])  # fmt: skip
    return table(head, rows)


def recoveries(run):
    """One row for each fault of a run: how often, and how long it took until work went on."""

    def times(pair):
        return f"{number(pair[0])}, at most {number(pair[1])}" if pair else "–"

    rows = [
        [fault.replace("_", " "), str(of["count"]), times(of["consuming_ms"]), times(of["publishing_ms"])]
        for fault, of in run["faults"].items()
    ]
    because = ", ".join(f"{reason} {number(count)}" for reason, count in run["redelivered_because"].items())
    return "\n\n".join([
        f"### {name_of(run)}",
        f"{run['server'] or 'A server'}, {run['publishers']} publishers, {run['consumers']} consumer processes, {run['keys']} keys."
        + (f" Messages came again because: {because}." if because else ""),
        table(["fault", "times", "consuming again, ms", "publishing again, ms"], rows),
    ])  # fmt: skip


def page_of(runs):
    if not runs:
        return "\nNo run is kept yet.\n\n"
    return "\n" + "\n\n".join([summary(runs), "## Recovery", *map(recoveries, runs)]) + "\n\n"


def faults_of(file, run):
    """What keeps a report from the page."""
    if run["wrong"]:
        yield f"{file}: {'; '.join(run['wrong'])}: a run in which something broke is mended, not kept"
    if not run["private"]:
        yield f"{file}: the server was not the run's own, so that it was not killed"


def prove_that_faults_are_found():
    """A check that finds nothing must be one that could have."""
    assert not list(faults_of("a", {"wrong": [], "private": True}))
    assert len(list(faults_of("a", {"wrong": ["1 messages lost"], "private": False}))) == 2


def main():
    prove_that_faults_are_found()
    docs = Path(__file__).resolve().parents[2] / "docs"
    page, runs, faults = docs / "torture.md", [], []
    for file in sorted((docs / "torture").glob("*.json")):
        runs.append(json.loads(file.read_text()))
        faults.extend(faults_of(file.name, runs[-1]))
    runs.sort(key=lambda run: (run["provider"], sorted(run["settings"].items())))
    text = page.read_text()
    filled = PLACE.sub(lambda place: place[1] + page_of(runs) + place[2], text)
    if filled != text and "--update" in sys.argv:
        page.write_text(filled)
    elif filled != text:
        faults.append("docs/torture.md does not say what docs/torture does; write it: python3 scripts/checks/torture_page.py --update")
    for provider in PROVIDERS:
        if not any(run["provider"] == provider and run["took_ms"] >= ENOUGH for run in runs):
            print(f"NOT KEPT: no torture of five minutes on {provider} is kept in docs/torture")
    for fault in faults:
        print(fault, file=sys.stderr)
    sys.exit(1 if faults else 0)


main()
