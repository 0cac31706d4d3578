"""The results as tables."""
import statistics


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def thousands(rows, seconds):
    return f"{rows / seconds / 1000:,.0f} k" if seconds else "-"


def throughput(results):
    heads = "| case | Weir: rows per TaskManager CPU s | of the cluster | of the broker | wall s | Flink: rows per TaskManager CPU s | of the cluster | of the broker | wall s"
    yield heads + " | ratio, TaskManager | ratio, cluster | ratio, wall | load | output |"
    yield "| --- " * 14 + "|"
    for case, found in results["throughput"].items():
        cells, figures = [case], {}
        for system in ("weir", "flink"):
            runs = found.get(system, {}).get("runs")
            if not runs:
                cells += ["-"] * 4
                continue
            of = figures[system] = [median(runs, key) for key in ("taskmanager_cpu_s", "cpu_s", "broker_cpu_s", "wall_s")]
            cells += [thousands(results["rows"], seconds) for seconds in of[:3]] + [f"{of[3]:.1f}"]
        if len(figures) == 2:
            pairs = list(zip(figures["weir"], figures["flink"]))
            cells += [f"{theirs / ours:.1f}" if ours else "-" for ours, theirs in (pairs[0], pairs[1], pairs[3])]
        else:
            cells += ["-"] * 3
        loads = [run["load"] for system in figures for run in found[system]["runs"]]
        cells += [f"{min(loads):.1f}-{max(loads):.1f}", found["output"]]
        yield "| " + " | ".join(cells) + " |"


LATENCIES = ("p50", "p90", "p99", "max")


def latency(results):
    yield "| case | system | " + " | ".join(f"{name} ms" for name in LATENCIES) + " | CPU s of TaskManager, JobManager, broker per 1,000 s | rows | output |"
    yield "| --- " * (len(LATENCIES) + 5) + "|"
    for case, systems in results["latency"].items():
        for system, found in systems.items():
            runs = found["runs"]
            cells = [f"{median(runs, name):.1f}" for name in LATENCIES]
            used = ", ".join(f"{1000 * found['cpu_s'].get(role, 0) / found['seconds']:.0f}" for role in ("taskmanager", "jobmanager", "broker"))
            yield f"| {case} | {system} | " + " | ".join(cells) + f" | {used} | {min(run['rows'] for run in runs):,} | {found['output']} |"


def failover(results):
    yield "| case | system | running again, s | gap in committed rows, s | longest gap before, s | windows | lost, doubled, wrong |"
    yield "| --- " * 7 + "|"
    for case, systems in results["failover"].items():
        for system, found in systems.items():
            trials, check = found["trials"], found["check"]
            cells = [" / ".join(f"{value:.1f}" for value in sorted(t[key] for t in trials)) for key in ("running_s", "gap_s", "before_s")]
            wrong = ", ".join(str(check[key]) for key in ("missing", "twice", "wrong"))
            yield f"| {case} | {system} | " + " | ".join(cells) + f" | {check['windows']:,} | {wrong} |"


def lines(results):
    """Markdown. Ratios say how many times better Weir is."""
    for part in (throughput, latency, failover):
        if part.__name__ in results:
            yield from part(results)
            yield ""
