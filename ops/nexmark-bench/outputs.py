"""Compares what two systems have written: rows as multisets, changes by the table that they fold to."""
import collections
import csv
import decimal
import os
import re

# A printed change: identifier, an optional subtask, kind and values.
PRINTED = re.compile(r"^ROW(?::\d+)?> ([+-])[IUD]\[(.*)\]$", re.M)


FRACTION = re.compile(r"^-?\d+\.\d+$|^-?\d+(\.\d+)?E[+-]?\d+$")


def value(text):
    """The text of a field. Flink leaves out zeros at the end of decimals, and may write them with an exponent."""
    return f"{decimal.Decimal(text).normalize():f}" if FRACTION.match(text) else text


def rows_of_files(directory):
    """The rows of all CSV files. Names with a dot or an underscore in front are not output."""
    rows = collections.Counter()
    for place, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if name[0] not in "._"]
        for name in names:
            if name[0] not in "._":
                with open(os.path.join(place, name), newline="", encoding="utf-8") as file:
                    rows.update(tuple(map(value, row)) for row in csv.reader(file))
    return rows


def table_of_changes(text):
    """The table that printed changes fold to."""
    rows = collections.Counter()
    changes = 0
    for sign, values in PRINTED.findall(text):
        rows[values] += 1 if sign == "+" else -1
        changes += 1
    return collections.Counter({row: count for row, count in rows.items() if count}), changes


def difference(ours, theirs):
    """One line that says how two multisets differ; empty if they do not."""
    missing, extra = theirs - ours, ours - theirs
    negative = [row for row, count in (ours | theirs).items() if count < 0]
    if not missing and not extra and not negative:
        return ""
    example = next(iter(missing or extra or negative))
    return f"{sum(missing.values())} rows missing, {sum(extra.values())} more than expected; for example {example}"
