"""The time from a producer, through SQL, to a reader of what is committed, at 10,000 rows a second."""
import contextlib
import json
import time

from cluster import cpu_seconds, wait_for

RATE, WARM_S, REPEAT_S, PARTITIONS = 10_000, 15, 20, 4
# Guarantee, interval of checkpoints, linger.ms.
CASES = [
    ("at-least-once", "1s", 0),
    ("exactly-once", "1s", 0),
    ("exactly-once", "200ms", 0),
]


def title(case):
    guarantee, interval, _ = case
    return guarantee if guarantee == "at-least-once" else f"{guarantee}, a checkpoint every {interval.replace('s', ' s').replace('m ', ' m')}"


def script(bench, system, kafka, case, topics):
    guarantee, interval, linger = case
    source = {
        "topic": topics[0],
        "properties.bootstrap.servers": kafka.brokers,
        "properties.group.id": "bench",
        "format": "json",
        "scan.startup.mode": "latest-offset",
    }
    sink = {
        "topic": topics[1],
        "properties.bootstrap.servers": kafka.brokers,
        "format": "json",
        "sink.delivery-guarantee": guarantee,
        "sink.transactional-id-prefix": topics[1],
        "properties.transaction.timeout.ms": 600_000,
        "properties.linger.ms": linger,
    }
    settings = {"parallelism.default": 1, "execution.checkpointing.interval": interval, "pipeline.name": title(case)}
    return bench.script(system, "live_pass", settings, source, sink)


def once(bench, kafka, system, case):
    topics = [f"{name}-{time.time_ns()}" for name in ("in", "out")]
    for topic in topics:
        kafka.client("create", topic, PARTITIONS)
    job = system.run(script(bench, system, kafka, case, topics), to_end=False)
    wait_for("the job runs", lambda: system.is_running(job))
    pids = {role: system.processes[role].pid for role in ("taskmanager", "jobmanager")} | {"broker": kafka.pid}
    before, began = {role: cpu_seconds(pid) for role, pid in pids.items()}, time.monotonic()
    lines = kafka.client("latency", *topics, RATE, WARM_S, REPEAT_S, bench.options.repeats).splitlines()
    used, seconds = {role: cpu_seconds(pid) - before[role] for role, pid in pids.items()}, time.monotonic() - began
    # The messages of both are the same, and so are their checksums.
    sums = lambda topic: kafka.client("sums", topic).split()[:2]
    sent = sums(topics[0])
    # Cancelling aborts what is not committed yet.
    with contextlib.suppress(TimeoutError):
        wait_for("all rows are committed", lambda: sums(topics[1]) == sent, 60)
    system.cancel(job)
    received = sums(topics[1])
    for topic in topics:
        kafka.client("delete", topic)
    output = "equal" if sent == received else f"sent {sent[0]}, received {received[0]}"
    return {"runs": [json.loads(line) for line in lines], "seconds": seconds, "cpu_s": used, "output": output}


def run(bench):
    with contextlib.ExitStack() as stack:
        kafka = stack.enter_context(bench.kafka())
        systems = [stack.enter_context(system) for system in bench.systems(1)]
        for case in (case for case in CASES if bench.options.only in title(case)):
            found = {}
            for system in systems:
                found[system.name] = once(bench, kafka, system, case)
                bench.say(f"{title(case)} {system.name}: {found[system.name]}")
                bench.keep("latency", title(case), found)
