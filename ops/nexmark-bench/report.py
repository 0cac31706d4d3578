"""The results as a table."""
import math
import statistics


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def lines(results):
    """A Markdown table of the medians. Ratios say how many times better Weir is."""
    yield "| query | parallelism | rows | Weir CPU s | rows per CPU s | wall s | peak MB | Flink CPU s | rows per CPU s | wall s | peak MB | CPU ratio | wall ratio | output |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    ratios = {}
    for result in results["queries"]:
        cells = [result["query"], str(result["parallelism"]), f"{result['rows']:,}"]
        figures = {}
        for system in ("weir", "flink"):
            runs = result[system]
            if not runs:
                cells += ["-"] * 4
                continue
            cpu, wall = median(runs, "cpu_s"), median(runs, "wall_s")
            figures[system] = (cpu, wall)
            rate = result["rows"] / cpu if cpu else math.inf
            cells += [f"{cpu:.2f}", f"{rate:,.0f}", f"{wall:.2f}", f"{median(runs, 'peak_mb'):.0f}"]
        if len(figures) == 2 and all(figures["weir"]):
            cpu, wall = (theirs / ours for ours, theirs in zip(figures["weir"], figures["flink"]))
            ratios.setdefault(result["parallelism"], []).append(cpu)
            cells += [f"{cpu:.1f}", f"{wall:.1f}"]
        else:
            cells += ["-", "-"]
        cells.append(results["outputs"].get(result["query"], "not compared"))
        yield "| " + " | ".join(cells) + " |"
    yield ""
    for parallelism, all_ratios in ratios.items():
        mean = statistics.geometric_mean(all_ratios)
        yield f"Geometric mean of the CPU ratios at parallelism {parallelism}: {mean:.1f} ({len(all_ratios)} queries)."
    for query, why in results["refused"].items():
        yield f"Not run: {query}: {why}"
