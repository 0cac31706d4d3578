#!/usr/bin/env python3
"""Nexmark on Weir and on Apache Flink, from the same files, in turn. README.md says what is measured and what is needed."""
import argparse
import collections
import datetime
import json
import os
import re
import shutil
import subprocess
import sys

import outputs
import report

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "bench-clusters"))

from cluster import Flink, Weir
MIDNIGHT_MS = 1_577_923_200_000  # 2020-01-02 00:00:00
RATE = 10_000  # Events per second of event time.
QUICK, FULL = 200_000, 2_000_000


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weir", default="target/release/weir", help="the program, of a release build")
    parser.add_argument("--generator", default="target/release/examples/nexmark_files", help="the example that writes the files")
    parser.add_argument("--flink", default=os.environ.get("FLINK_HOME"), help="home of Flink 2.3; without it only Weir runs")
    parser.add_argument("--work", default="/var/tmp/nexmark-bench", help="directory for data, clusters and outputs")
    parser.add_argument("--out", default=".", help="directory for results.json and results.md")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} events and one run instead of {FULL:,} and three")
    parser.add_argument("--events", type=int, help="number of events")
    parser.add_argument("--repeats", type=int, help="runs of each query on each system; 0 only compares outputs")
    parser.add_argument("--parallelism", default="1,2", help="such as 1,2")
    parser.add_argument("--queries", help="such as q0,q17; all by default")
    parser.add_argument("--flink-memory", default="6g", help="memory of Flink's TaskManager")
    parser.add_argument("--no-compare", action="store_true", help="do not compare outputs")
    return parser.parse_args()


def say(text):
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", flush=True)


def data(options, events, files):
    """The directory with the events in so many files per table. Half of the events are of another day."""
    directory = os.path.join(options.work, "data", f"{events}-{files}")
    if not os.path.exists(directory):
        base = MIDNIGHT_MS - events // 2 * 1000 // RATE
        command = [options.generator, directory + ".new", str(events), str(files), "0", str(base), str(RATE)]
        subprocess.run(command, check=True)
        os.rename(directory + ".new", directory)
    return directory


def lines_of(directory):
    def count(path):
        with open(path, "rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))

    return {
        table: sum(count(os.path.join(directory, table, name)) for name in os.listdir(os.path.join(directory, table)))
        for table in ("person", "auction", "bid")
    }


class Query:
    def __init__(self, path):
        self.name = os.path.basename(path).removesuffix(".sql")
        with open(path) as file:
            self.text = file.read()
        reads, self.emits = re.match(r"-- reads: ([a-z ]+); emits: (rows|changes)", self.text).groups()
        self.tables = reads.split()

    def script(self, options, system, directory, parallelism, sink, explain=False):
        """Writes the script and returns its path."""
        with open(os.path.join(HERE, "tables.sql")) as file:
            tables = file.read()
        text = self.text.replace("INSERT INTO", "EXPLAIN INSERT INTO") if explain else self.text
        settings = {"parallelism.default": parallelism, "pipeline.name": self.name, "table.local-time-zone": "UTC"}
        if system == "weir":
            settings["table.dml-sync"] = "true"
        lines = [f"SET '{key}' = '{value}';" for key, value in settings.items()]
        script = "\n".join([*lines, tables.replace("${data}", directory), text.replace("${sink}", sink)])
        os.makedirs(os.path.join(options.work, "scripts"), exist_ok=True)
        path = os.path.join(options.work, "scripts", f"{system}-{self.name}-{parallelism}.sql")
        with open(path, "w") as file:
            file.write(script)
        return path


BLACKHOLE = "'connector' = 'blackhole'"
PRINT = "'connector' = 'print', 'print-identifier' = 'ROW'"


def compare(options, query, systems, directory, parallelism):
    """Runs a query on both systems with a sink that keeps its output, and says how the outputs differ."""
    found = []
    for system in systems:
        if query.emits == "changes":
            before = len(system.printed())
            system.run(query.script(options, system.name, directory, parallelism, PRINT))
            found.append(outputs.table_of_changes(system.printed()[before:])[0])
        else:
            place = os.path.join(options.work, "outputs", f"{system.name}-{query.name}")
            shutil.rmtree(place, ignore_errors=True)
            sink = f"'connector' = 'filesystem', 'path' = 'file://{place}', 'format' = 'csv'"
            system.run(query.script(options, system.name, directory, parallelism, sink))
            found.append(outputs.rows_of_files(place))
    why = outputs.difference(*found)
    return why or f"equal ({sum(found[0].values()):,} rows)"


def main():
    options = arguments()
    events = options.events or (QUICK if options.quick else FULL)
    repeats = options.repeats if options.repeats is not None else 1 if options.quick else 3
    levels = [int(level) for level in options.parallelism.split(",")]
    wanted = options.queries.split(",") if options.queries else None
    paths = [os.path.join(HERE, "queries", name) for name in os.listdir(os.path.join(HERE, "queries"))]
    queries = sorted((Query(path) for path in paths), key=lambda query: int(query.name[1:]))
    queries = [query for query in queries if not wanted or query.name in wanted]
    options.work = os.path.abspath(options.work)
    os.makedirs(options.work, exist_ok=True)
    results = {
        "date": datetime.datetime.now().isoformat(timespec="seconds"),
        "events": events,
        "weir": subprocess.run([options.weir, "--version"], capture_output=True, text=True).stdout.strip(),
        "processors": os.cpu_count(),
        "outputs": {},
        "refused": {},
        "queries": [],
    }
    slots = max(levels)
    systems = [Weir(os.path.join(options.work, "weir"), options.weir, slots)]
    if options.flink:
        systems.append(Flink(os.path.join(options.work, "flink"), options.flink, slots, options.flink_memory))
    try:
        for system in systems:
            system.start()
        run(options, results, systems, queries, levels, events, repeats)
    finally:
        for system in systems:
            system.stop()


def run(options, results, systems, queries, levels, events, repeats):
    accepted = []
    for query in queries:
        script = query.script(options, "weir", "/none", 1, BLACKHOLE, explain=True)
        why = systems[0].refusal(script)
        if why:
            results["refused"][query.name] = re.sub(r"^weir: \S+: ", "", why.splitlines()[0])
            say(f"{query.name} is not planned: {results['refused'][query.name]}")
        else:
            accepted.append(query)
    if len(systems) == 2 and not options.no_compare:
        for query in accepted:
            found = [compare(options, query, systems, data(options, QUICK, level), level) for level in levels]
            differences = [what for what in found if not what.startswith("equal")]
            results["outputs"][query.name] = "; ".join(differences) or found[0]
            say(f"{query.name}: outputs of {QUICK:,} events: {results['outputs'][query.name]}")
    for level in levels if repeats else []:
        directory = data(options, events, level)
        rows = lines_of(directory)
        for query in accepted:
            runs = collections.defaultdict(list)
            for _ in range(repeats):
                for system in systems:
                    script = query.script(options, system.name, directory, level, BLACKHOLE)
                    runs[system.name].append(system.measure(script))
                    say(f"{query.name} parallelism {level} {system.name}: {runs[system.name][-1]}")
            read = sum(rows[table] for table in query.tables)
            results["queries"].append(
                {"query": query.name, "parallelism": level, "rows": read, "weir": runs["weir"], "flink": runs["flink"]}
            )
            write(options, results)
    write(options, results)
    print("\n".join(report.lines(results)))


def write(options, results):
    os.makedirs(options.out, exist_ok=True)
    with open(os.path.join(options.out, "results.json"), "w") as file:
        json.dump(results, file, indent=1)
    with open(os.path.join(options.out, "results.md"), "w") as file:
        file.write("\n".join(report.lines(results)) + "\n")


if __name__ == "__main__":
    sys.exit(main())
