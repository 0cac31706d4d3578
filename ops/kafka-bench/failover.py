"""A process dies under a job that counts in windows, exactly once: for how long does nothing new come, and is every row right?"""
import json
import os
import time
from datetime import datetime

from cluster import wait_for
from ha import TUNED, HaFlink, HaWeir

RATE, PARTITIONS = 1_000, 4
KINDS = ("leader", "TaskManager")
INTERVAL = {"execution.checkpointing.interval": "1s"}


def systems(bench):
    """Name, and how to make it."""
    options = bench.options
    yield "weir", lambda: HaWeir(bench.place("weir-ha"), options.weir, {})
    if options.flink:
        place = bench.place("flink-ha")
        flink = lambda more: HaFlink(place, options.flink, "1728m", more, options.flink_connector, options.zookeeper)
        yield "flink", lambda: flink({"web.refresh-interval": "100ms"})
        yield "flink, tuned", lambda: flink({"web.refresh-interval": "100ms", **TUNED})


def script(bench, system, kafka):
    source = {
        "topic": "in",
        "properties.bootstrap.servers": kafka.brokers,
        "properties.group.id": "bench",
        "format": "json",
        "scan.startup.mode": "earliest-offset",
    }
    sink = {
        "topic": "out",
        "properties.bootstrap.servers": kafka.brokers,
        "format": "json",
        "sink.delivery-guarantee": "exactly-once",
        "sink.transactional-id-prefix": "out",
        "properties.transaction.timeout.ms": 3_600_000,
    }
    settings = {"parallelism.default": 2, "table.local-time-zone": "UTC", **INTERVAL}
    return bench.script(system, "live_window", settings, source, sink)


def arrivals(path):
    with open(path) as file:
        return [int(line.split(" ", 1)[0]) / 1000 for line in file if line.endswith("\n")]


def longest_gap(times, begin, end):
    times = [at for at in times if begin <= at <= end]
    return max((later - at for at, later in zip(times, times[1:])), default=end - begin)


def trial(system, job, kind, seen):
    """Kills a process, waits until everything is as before, and says how long that took."""
    time.sleep(8)
    victim = system.leader() if kind == "leader" else wait_for("a busy TaskManager", system.a_busy_taskmanager)
    killed = time.time()
    system.kill(victim)
    # A new leader may say that all runs before it has looked, so the output decides about what matters.
    if kind != "leader":
        wait_for("the loss is noticed", lambda: not system.is_running(job, system.port()), 120)
    wait_for("the job runs again", lambda: system.is_running(job, system.port()), 180)
    running = time.time()
    wait_for("output again", lambda: os.path.getmtime(seen) > running + 2, 120)
    time.sleep(3)
    times = arrivals(seen)
    found = {
        "victim": victim,
        "running_s": running - killed,
        "gap_s": longest_gap(times, killed - 2, time.time()),
        "before_s": longest_gap(times, killed - 8, killed),
    }
    system.start_role(victim)
    system.await_spare()
    return found


def check(path, first_ms, sent):
    """The windows against the rows that were sent; the last ones may not be complete."""
    expected, found = {}, {}
    for number in range(sent):
        window = expected.setdefault(((first_ms + number * 1000 // RATE) // 1000, number // PARTITIONS % 100), [0, 0])
        window[0] += 1
        window[1] += number
    last = (first_ms + sent * 1000 // RATE - 3000) // 1000
    with open(path) as file:
        for row in map(json.loads, file):
            second = int(datetime.strptime(row["ws"][:19] + "+0000", "%Y-%m-%d %H:%M:%S%z").timestamp())
            found.setdefault((second, row["k"]), []).append([row["n"], row["total"]])
    expected = {key: value for key, value in expected.items() if key[0] < last}
    return {
        "windows": len(expected),
        "missing": sum(key not in found for key in expected),
        "twice": sum(len(rows) > 1 for rows in found.values()),
        "wrong": sum(key in found and value not in found[key] for key, value in expected.items()),
    }


def once(bench, kafka, system, kind):
    for topic in ("in", "out"):
        kafka.client("create", topic, PARTITIONS)
    seen = os.path.join(kafka.directory, "seen")
    kafka.start_client("watch", "out", seen)
    producer = kafka.start_client("produce", "in", RATE)
    job = system.run(script(bench, system, kafka), to_end=False)
    wait_for("output", lambda: os.path.getsize(seen) > 0)
    trials = []
    for _ in range(bench.options.repeats):
        trials.append(trial(system, job, kind, seen))
        bench.say(f"{kind} killed, {system.name}: {trials[-1]}")
    sent = int(producer.communicate("x", timeout=30)[0])
    time.sleep(5)
    dump = os.path.join(kafka.directory, "dump")
    kafka.client("dump", "out", dump)
    return {"trials": trials, "sent": sent, "check": check(dump, int(producer.first), sent)}


def run(bench):
    for kind in KINDS:
        case, found = f"{kind} killed", {}
        if bench.options.only not in case:
            continue
        for name, make in systems(bench):
            with bench.kafka() as kafka, make() as system:
                found[name] = once(bench, kafka, system, kind)
            bench.say(f"{case}, {name}: {found[name]['check']}")
            bench.keep("failover", case, found)
