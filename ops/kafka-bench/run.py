#!/usr/bin/env python3
"""Kafka to SQL to Kafka, on Weir and on Apache Flink, from the same broker, in turn. README.md says what is measured and what is needed."""
import argparse
import datetime
import json
import os
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "bench-clusters"))

import failover
import latency
import report
import throughput
from cluster import Flink, Weir
from kafka import Kafka

# Flink's windows need managed memory even if their state is on the heap.
FLINK = {"taskmanager.memory.managed.size": "512m"}
PARTS = ("throughput", "latency", "failover")
CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
SERVERS = os.environ.get("WEIR_TEST_SERVERS") or os.path.join(CACHE, "weir", "test-servers")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weir", default="target/release/weir", help="the program, of a release build")
    parser.add_argument("--flink", default=os.environ.get("FLINK_HOME"), help="home of Flink 2.3; without it only Weir runs")
    parser.add_argument("--flink-connector", default=os.environ.get("FLINK_KAFKA_CONNECTOR"), help="directory with the jars of its connector")
    parser.add_argument("--kafka", default=os.path.join(SERVERS, "kafka-4.4.0", "lib"), help="directory with the jars of Kafka")
    parser.add_argument("--zookeeper", default=os.path.join(SERVERS, "zookeeper-3.9.5", "lib"), help="directory with the jars of ZooKeeper")
    parser.add_argument("--work", default="/var/tmp/kafka-bench", help="directory for the broker and the clusters")
    parser.add_argument("--out", default=".", help="directory for results.json and results.md")
    parser.add_argument("--quick", action="store_true", help="500,000 rows and one run of each case")
    parser.add_argument("--rows", type=int, help="bids that throughput reads; 5,000,000 by default")
    parser.add_argument("--repeats", type=int, help="runs of each case on each system; 3 by default")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--only", default="", help="cases with this in their name")
    parser.add_argument("--flink-memory", default="4g", help="memory of Flink's TaskManager")
    options = parser.parse_args()
    options.rows = options.rows or (500_000 if options.quick else 5_000_000)
    options.repeats = options.repeats or (1 if options.quick else 3)
    options.parts = options.parts.split(",")
    if options.flink and not options.flink_connector:
        parser.error("--flink needs --flink-connector: README.md says where the jars are from")
    return options


def say(text):
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", flush=True)


class Bench:
    """What the parts share: options, results, and where scripts and processes live."""

    def __init__(self, options):
        self.options, self.say = options, say
        options.work = os.path.abspath(options.work)
        os.makedirs(os.path.join(options.work, "scripts"), exist_ok=True)
        version = subprocess.run([options.weir, "--version"], capture_output=True, text=True).stdout.strip()
        self.results = {
            "date": datetime.datetime.now().isoformat(timespec="seconds"),
            "weir": version,
            "processors": os.cpu_count(),
            "rows": options.rows,
        }

    def place(self, *names):
        return os.path.join(self.options.work, *names)

    def systems(self, slots, settings=None):
        systems = [Weir(self.place("weir"), self.options.weir, slots, settings=settings)]
        if self.options.flink:
            settings = {**FLINK, "execution.checkpointing.dir": f"file://{self.place('flink', 'checkpoints')}", **(settings or {})}
            options = self.options
            systems.append(Flink(self.place("flink"), options.flink, slots, options.flink_memory, settings, options.flink_connector))
        return systems

    def kafka(self):
        return Kafka(self.place("kafka"), self.options.kafka)

    def script(self, system, name, settings, source, sink):
        """Writes a script for a system and returns its path. `source` and `sink` are the options of the tables."""
        with open(os.path.join(HERE, "sql", f"{name}.sql")) as file:
            text = file.read()
        for key, table in (("${source}", source), ("${sink}", sink)):
            text = text.replace(key, ", ".join(f"'{key}' = '{value}'" for key, value in {"connector": "kafka", **table}.items()))
        path = self.place("scripts", f"{system.name}-{name}.sql")
        with open(path, "w") as file:
            file.writelines(f"SET '{key}' = '{value}';\n" for key, value in settings.items())
            file.write(text)
        return path

    def keep(self, part, case, result):
        """Adds a result, and writes all of them, so that an interrupted run is not lost."""
        self.results.setdefault(part, {})[case] = result
        os.makedirs(self.options.out, exist_ok=True)
        with open(os.path.join(self.options.out, "results.json"), "w") as file:
            json.dump(self.results, file, indent=1)
        with open(os.path.join(self.options.out, "results.md"), "w") as file:
            file.write("\n".join(report.lines(self.results)) + "\n")


def main():
    # So that the clusters end with a run that is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = Bench(arguments())
    for part in (throughput, latency, failover):
        if part.__name__ in bench.options.parts:
            part.run(bench)
    print("\n".join(report.lines(bench.results)))


if __name__ == "__main__":
    main()
