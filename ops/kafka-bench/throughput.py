"""Rows per CPU second: bids from one topic into another."""
import contextlib
import time

PARTITIONS = 4
ROUNDS_TO_WARM_UP = 1
# Name, script, format, guarantee, parallelism, and the member that is summed up, if the messages are JSON.
AT_LEAST, EXACTLY = "at-least-once", "exactly-once"
CASES = [
    ("pass JSON", "pass", "json", AT_LEAST, 1, "price"),
    ("pass JSON", "pass", "json", EXACTLY, 1, "price"),
    ("pass JSON", "pass", "json", EXACTLY, 2, "price"),
    ("window JSON", "window", "json", EXACTLY, 1, "total"),
    ("window JSON", "window", "json", EXACTLY, 2, "total"),
    ("pass CSV", "pass", "csv", EXACTLY, 1, None),
    ("pass raw", "raw", "raw", EXACTLY, 1, None),
]


def title(case):
    name, _, _, guarantee, parallelism, _ = case
    return f"{name}, {guarantee}, parallelism {parallelism}"


def source(kafka, topic, table_format):
    return {
        "topic": topic,
        "properties.bootstrap.servers": kafka.brokers,
        "properties.group.id": "bench",
        "format": table_format,
        "scan.startup.mode": "earliest-offset",
        "scan.bounded.mode": "latest-offset",
        "properties.max.poll.records": 2000,
        "properties.max.partition.fetch.bytes": 4 << 20,
    }


def sink(kafka, topic, table_format, guarantee):
    return {
        "topic": topic,
        "properties.bootstrap.servers": kafka.brokers,
        "format": table_format,
        "sink.delivery-guarantee": guarantee,
        "sink.transactional-id-prefix": topic,
        "properties.transaction.timeout.ms": 600_000,
        "properties.compression.type": "lz4",
        "properties.batch.size": 256 << 10,
        "properties.linger.ms": 20,
    }


def settings(system, case):
    found = {
        "parallelism.default": case[4],
        "pipeline.name": title(case),
        "execution.checkpointing.interval": "1s",
        "table.local-time-zone": "UTC",
    }
    return {**found, "table.dml-sync": "true"} if system.name == "weir" else found


def once(bench, kafka, system, case):
    """Runs a case and looks at its output."""
    _, script, table_format, guarantee, _, member = case
    topic = f"out-{time.time_ns()}"
    kafka.client("create", topic, PARTITIONS)
    read = source(kafka, "json" if table_format == "raw" else table_format, table_format)
    written = sink(kafka, topic, table_format, guarantee)
    found = system.measure(bench.script(system, script, settings(system, case), read, written), {"broker": kafka.pid})
    rows, checksum, total = map(int, kafka.client("sums", topic, *([member] if member else [])).split())
    kafka.client("delete", topic)
    return {**found, "rows": rows, "checksum": checksum, "sum": total}


def output(runs):
    """Whether all runs of all systems wrote the same messages, or else the same sums."""
    for what, keys in (("equal", ("rows", "checksum")), ("equal numbers, other text", ("rows", "sum"))):
        if len({tuple(run[key] for key in keys) for run in runs}) == 1:
            return f"{what} ({runs[0]['rows']:,} rows)"
    return "DIFFERENT: " + str(sorted({(run["rows"], run["sum"]) for run in runs}))


def run(bench):
    options = bench.options
    cases = [case for case in CASES if options.only in title(case)]
    runs = {title(case): {} for case in cases}
    with contextlib.ExitStack() as stack:
        kafka = stack.enter_context(bench.kafka())
        for topic in sorted({"csv" if case[2] == "csv" else "json" for case in cases}):
            kafka.client("create", topic, PARTITIONS)
            kafka.client("load", topic, options.rows, topic)
        systems = [stack.enter_context(system) for system in bench.systems(max(case[4] for case in cases))]
        for turn in range(1 - ROUNDS_TO_WARM_UP, options.repeats + 1):
            for case in cases:
                for system in systems:
                    found = once(bench, kafka, system, case)
                    bench.say(f"{'warm-up' if turn < 1 else turn} {title(case)} {system.name}: {found}")
                    place = runs[title(case)].setdefault(system.name, {"warm_up": [], "runs": []})
                    place["warm_up" if turn < 1 else "runs"].append(found)
                if turn > 0:
                    of_systems = runs[title(case)]
                    everything = [run for found in of_systems.values() for run in found["warm_up"] + found["runs"]]
                    bench.keep("throughput", title(case), {**of_systems, "output": output(everything)})
