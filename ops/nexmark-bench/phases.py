#!/usr/bin/env python3
"""Aggregation in one phase and in two, in turn, over the bids that run.py reads too: processor seconds of two TaskManagers with a
slot each, so that half of the rows go from one to the other."""
import argparse
import os
import statistics

import run
from cluster import Weir

WINDOW = "TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))"
QUERIES = {
    "no key": "SELECT COUNT(*) AS n, SUM(price) AS total, MAX(price) AS dearest FROM bid",
    "two keys": "SELECT price > 1000000 AS k, COUNT(*) AS n, AVG(price) AS average FROM bid GROUP BY price > 1000000",
    "channels per window": f"SELECT channel, COUNT(*) AS n, SUM(price) AS total FROM {WINDOW} GROUP BY channel, window_start, window_end",
    "auctions per window": f"SELECT auction, COUNT(*) AS n, MAX(price) AS dearest FROM {WINDOW} GROUP BY auction, window_start, window_end",
    "auctions": "SELECT auction, COUNT(*) AS n, MAX(price) AS dearest FROM bid GROUP BY auction",
    "bidders and auctions": "SELECT auction, bidder, COUNT(*) AS n, MAX(price) AS dearest FROM bid GROUP BY auction, bidder",
}
PHASES = ("ONE_PHASE", "TWO_PHASE")


def script(options, directory, query, phases):
    with open(os.path.join(run.HERE, "tables.sql")) as file:
        tables = file.read().replace("${data}", directory)
    settings = {"parallelism.default": 2, "table.dml-sync": "true", "table.optimizer.agg-phase-strategy": phases}
    path = os.path.join(options.work, "phases.sql")
    with open(path, "w") as file:
        file.writelines(f"SET '{key}' = '{value}';\n" for key, value in settings.items())
        file.write(f"{tables}CREATE TABLE sink WITH ('connector' = 'blackhole') AS\n{query};\n")
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weir", default="target/release/weir", help="the program, of a release build")
    parser.add_argument("--generator", default="target/release/examples/nexmark_files", help="the example that writes the files")
    parser.add_argument("--work", default="/var/tmp/nexmark-bench", help="directory for data and the cluster")
    parser.add_argument("--events", type=int, default=run.FULL, help="number of events")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each query and form")
    options = parser.parse_args()
    options.work = os.path.abspath(options.work)
    os.makedirs(options.work, exist_ok=True)
    directory = run.data(options, options.events, 2)
    print("| query | one phase | two phases | ratio |\n| --- | --- | --- | --- |")
    with Weir(os.path.join(options.work, "weir"), options.weir, 1, taskmanagers=2) as cluster:
        for name, query in QUERIES.items():
            taken = {phases: [] for phases in PHASES}
            for _ in range(options.repeats):
                for phases in PHASES:
                    taken[phases].append(cluster.measure(script(options, directory, query, phases))["taskmanager_cpu_s"])
            one, two = (statistics.median(taken[phases]) for phases in PHASES)
            print(f"| {name} | {one:.2f} s | {two:.2f} s | {one / two:.2f} |", flush=True)


if __name__ == "__main__":
    main()
