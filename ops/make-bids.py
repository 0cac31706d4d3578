"""Writes N bids as CSV without a header: auction, bidder, price, time in ms; always the same rows. usage: make-bids.py N FILE"""
import sys

rows, path = int(sys.argv[1]), sys.argv[2]
MASK = (1 << 64) - 1
with open(path, "w", buffering=1 << 20) as file:
    lines = []
    for number in range(rows):
        mixed = (number * 0x9E3779B97F4A7C15) & MASK
        mixed ^= mixed >> 32
        mixed = (mixed * 0xD6E8FEB86659FD93) & MASK
        mixed ^= mixed >> 32
        price = (mixed >> 40) % 10000 + 1
        lines.append(f"{mixed % 10000},{(mixed >> 20) % 100000},{price},{1600000000000 + number // 100}\n")
        if len(lines) == 50000:
            file.write("".join(lines))
            lines.clear()
    file.write("".join(lines))
