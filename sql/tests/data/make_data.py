#!/usr/bin/env python3
"""Writes the input files of the SQL corpus into its own folder. The same seed gives the same bytes.

Event times move on by more than 200 ms whenever they move on at all, so that Flink's watermark (emitted behind every row that advances it by
more than 200 ms) is exact, and the set of late rows does not depend on when a timer fires.
"""
import csv, io, json, os, random
from datetime import datetime, timedelta

HERE = os.path.dirname(os.path.abspath(__file__))
RANDOM = random.Random(20200101)


def text(t):
    return t.strftime("%Y-%m-%d %H:%M:%S.") + f"{t.microsecond // 1000:03d}"


def write(name, rows):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    with open(os.path.join(HERE, name), "w", encoding="utf-8", newline="") as f:
        f.write(out.getvalue())


def clock(start, n, low, high, jumps=()):
    """n times that move on by low to high milliseconds, and by a jump (in hours) before the rows named in `jumps`."""
    t = start
    for i in range(n):
        t += timedelta(milliseconds=RANDOM.randint(low, high), hours=dict(jumps).get(i, 0))
        yield t


def delayed(times, share, late_share, near, far):
    """Moves some times back: by up to `near` s, and a few by up to `far` s. The latest time so far stays a step apart."""
    for t in times:
        r = RANDOM.random()
        if r < late_share:
            yield t - timedelta(milliseconds=RANDOM.randint(near * 1000 + 1500, far * 1000))
        elif r < late_share + share:
            yield t - timedelta(milliseconds=RANDOM.randint(300, near * 1000 - 700))
        else:
            yield t


WORDS = ["alpha", "bravo", "Über", "naïve", "日本", "😀", "x,y", 'say "hi"', "tab", "end "]


def extra(n):
    return " ".join(RANDOM.choice(WORDS) for _ in range(n))


def nexmark():
    start = datetime(2020, 1, 1, 23, 55)
    channels = ["Google", "Facebook", "Baidu", "Apple"]
    bids = []
    for t in delayed(clock(start, 900, 300, 1500, {500: 30, 760: 22}), 0.2, 0.02, 4, 40):
        hot = RANDOM.random() < 0.5
        auction = 1000 + (RANDOM.randint(0, 3) * 10 if hot else RANDOM.randint(0, 59))
        bidder = 2001 if RANDOM.random() < 0.4 else 2000 + RANDOM.randint(0, 39)
        price = int(10 ** RANDOM.uniform(2, 8))
        if RANDOM.random() < 0.6:
            channel = RANDOM.choice(channels)
            if RANDOM.random() < 0.2:
                channel = channel.upper()
            url = f"https://www.nexmark.com/{RANDOM.choice('abcd')}{RANDOM.choice('xyz')}/q_{RANDOM.randint(1, 9)}/item.htm?query=1"
        else:
            n = RANDOM.randint(0, 40)
            channel = f"channel-{n}"
            url = f"https://www.nexmark.com/{RANDOM.choice('abcd')}/{RANDOM.choice('xyz')}/item.htm?query=1"
            if RANDOM.random() < 0.8:
                url += f"&channel_id={n * 7919 % 10007}"
        bids.append([auction, bidder, price, channel, url, text(t), extra(2)])
    write("bid.csv", bids)
    auctions = []
    for i, t in enumerate(clock(start - timedelta(minutes=2), 60, 400, 9000)):
        auctions.append([1000 + i, f"item {i} {RANDOM.choice(WORDS)}", extra(4), RANDOM.randint(1, 500), RANDOM.randint(500, 5000),
                         text(t), text(t + timedelta(seconds=RANDOM.randint(20, 400))), 2000 + RANDOM.randint(0, 39), 10 + RANDOM.randint(0, 4), extra(1)])
    write("auction.csv", auctions)
    people = []
    for i, t in enumerate(clock(start - timedelta(minutes=3), 40, 400, 6000)):
        name = RANDOM.choice(["Walter", "Jürgen", "Zoë", "陈", "O'Neil"]) + " " + RANDOM.choice(["Shultz", "Müller", "Smith"])
        people.append([2000 + i, name, f"p{i}@example.com", f"{RANDOM.randint(1000, 9999)} {RANDOM.randint(1000, 9999)}",
                       RANDOM.choice(["Portland", "Boise", "Zürich"]), RANDOM.choice(["OR", "ID", "CA"]), text(t), extra(1)])
    write("person.csv", people)


def orders():
    """Nulls in every column but the id and the time, repeated customers, late rows, amounts with two decimals."""
    def may(v, share=0.08):
        return "" if RANDOM.random() < share else v
    rows = []
    times = delayed(clock(datetime(2021, 3, 14, 8, 0), 400, 1000, 30000), 0.2, 0.02, 30, 1800)
    for i, t in enumerate(times):
        rows.append([i + 1 if RANDOM.random() < 0.95 else max(1, i - 3), may(RANDOM.choice(["ann", "bob", "Çağla", "dirk", "eve", "日本"])),
                     RANDOM.choice(["tea", "coffee", "Käse", "🍕", "tea "]), may(f"{RANDOM.choice([-1, 1, 1, 1, 1]) * RANDOM.randint(0, 99999) / 100:.2f}"),
                     may(RANDOM.randint(-2, 20)), text(t), may(RANDOM.choice(["DE", "TR", "US", "JP"]))])
    write("orders.csv", rows)


def clicks():
    """Epoch milliseconds around two changes of daylight saving time; no late rows."""
    rows = []
    for start, n in ((1585350000000, 150), (1603497600000, 150)):
        ms = start
        for _ in range(n):
            ms += RANDOM.randint(60_000, 1_800_000)
            rows.append([ms, RANDOM.choice(["u1", "u2", "ü3", "u4"]), RANDOM.choice(["/", "/a", "/a/b", "/ö"]), RANDOM.randint(1, 5000)])
    write("clicks.csv", rows)


def sensors():
    """JSON lines: fields missing or null, numbers as text, nested rows, unicode, fields that the tables do not name."""
    lines = []
    for i, t in enumerate(clock(datetime(2022, 6, 1, 12, 0), 200, 500, 4000)):
        o = {"id": i % 17, "room": RANDOM.choice(["Büro", "lab", "日本", None]), "temp": round(RANDOM.uniform(-20, 45), RANDOM.randint(0, 3)),
             "ok": RANDOM.choice([True, False]), "count": RANDOM.randint(-10**12, 10**12), "price": f"{RANDOM.randint(0, 10**6) / 1000:.3f}",
             "ts": text(t), "pos": {"x": RANDOM.randint(0, 9), "y": RANDOM.choice(["a", "b", None])}, "unused": [1, {"a": 2}]}
        for k in ("room", "temp", "ok", "count", "pos"):
            if RANDOM.random() < 0.06:
                del o[k]
        if RANDOM.random() < 0.05:
            o["temp"] = str(o.get("temp", 7))
        lines.append(json.dumps(o, ensure_ascii=RANDOM.random() < 0.5))
    with open(os.path.join(HERE, "sensors.json"), "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")


def types():
    """One column a type, extremes first, then nulls, then random values."""
    rows = [
        [1, "true", 127, 32767, 2147483647, 9223372036854775807, "3.4028235E38", "1.7976931348623157E308", "99999999.99", "z", "9999-12-31", "23:59:59", "9999-12-31 23:59:59.999", "9999-12-31 23:59:59.999Z"],
        [2, "false", -128, -32768, -2147483648, -9223372036854775808, "1.4E-45", "4.9E-324", "-99999999.99", "Ω😀", "0001-01-01", "00:00:00", "0001-01-01 00:00:00.001", "1970-01-01 00:00:00.001Z"],
        [3, "TRUE", 0, 0, 0, 0, "-0.0", "-0.0", "0", " ", "1970-01-01", "12:00:00", "1970-01-01 00:00:00", "1970-01-01 00:00:00Z"],
        [4] + [""] * 8 + [""] + [""] * 4,
    ]
    for i in range(5, 41):
        t = datetime(2000, 1, 1) + timedelta(seconds=RANDOM.randint(-10**9, 10**9))
        rows.append([i, RANDOM.choice(["true", "false"]), RANDOM.randint(-128, 127), RANDOM.randint(-32768, 32767), RANDOM.randint(-2**31, 2**31 - 1),
                     RANDOM.randint(-2**63, 2**63 - 1), round(RANDOM.uniform(-1000, 1000), 3), RANDOM.uniform(-1e6, 1e6), f"{RANDOM.randint(-10**10 + 1, 10**10 - 1) / 100:.2f}",
                     extra(1), t.strftime("%Y-%m-%d"), t.strftime("%H:%M:%S"), text(t), text(t) + "Z"])
    write("types.csv", rows)


def small():
    """Files of a few lines for options of the formats and for times before 1970."""
    files = {
        "semicolon.csv": "# a comment\n1;'one; two';2.5\n2;'it''s';x\n3;plain;-1\n4;;7\n5;short\n6;a;1;more\n# another\n7;'ü';1e2\n",
        "broken.json": '{"a": 1, "b": "x"}\n{"a": "two", "b": "y"}\nnot json\n\n{"a": 3}\n{"a": null, "b": null}\n{"a": 4.7, "b": 5}\n{"a": "6", "b": {"c": 1}}\n',
        "old.csv": "".join(f"{t},{v}\n" for v, t in enumerate(
            ["1969-12-31 23:59:48.000", "1969-12-31 23:59:51.500", "1969-12-31 23:59:59.999", "1970-01-01 00:00:00.000", "1970-01-01 00:00:00.001",
             "1969-12-31 23:59:58.000", "1970-01-01 00:00:12.000", "1970-01-01 00:00:05.000", "1970-01-01 00:00:31.000"], 1)),
        "empty.csv": "",
    }
    for name, content in files.items():
        with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
            f.write(content)


nexmark()
orders()
clicks()
sensors()
types()
small()
