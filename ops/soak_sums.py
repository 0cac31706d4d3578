"""What came of the runs below a directory, by coordination: a row of a table each. Exit code 1 if a run did not pass."""

import collections
import json
import pathlib
import sys

runs = [json.loads(report.read_text()) for report in sorted(pathlib.Path(sys.argv[1]).glob("*/report.json"))]
sums = collections.defaultdict(collections.Counter)
for run in runs:
    if run["verdict"] == "interrupted":
        continue
    ended = "passed" if run["verdict"] == "passed" else "not passed"
    deeds = collections.Counter(deed["nemesis"] for deed in run["deeds"])
    for row in (run["run"]["coordination"], "all"):
        sums[row].update({
            "runs": 1, ended: 1, "minutes": run["run"]["duration_ms"] / 60_000, "faults": run["faults"],
            "leader changes": run["leader_changes"], "rows": run["rows"],
            "TaskManagers killed": deeds["kill-taskmanager"],
        })
columns = ["runs", "passed", "minutes", "faults", "leader changes", "TaskManagers killed", "rows"]
print("| coordination |", " | ".join(columns), "|")
print("| --- |", " | ".join("---" for _ in columns), "|")
for row, sum_ in sums.items():
    print(f"| {row} |", " | ".join(f"{sum_[column]:,.0f}" for column in columns), "|")
for run in runs:
    if run["verdict"] != "passed":
        print(f"{run['verdict']}: {run['run']['command']}")
sys.exit(any(run["verdict"] != "passed" for run in runs))
