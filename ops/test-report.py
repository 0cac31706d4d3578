#!/usr/bin/env python3
"""What a run of the tests came to: those that took longest, and those that failed at first and passed when tried again.

Usage: ops/test-report.py JUNIT_XML. Exit code 1 if a test that passed in the end had broken an invariant before: a panic whose message
begins with the id of one (docs/invariants.md) is never a matter of time.
"""

import re
import sys
import xml.etree.ElementTree as xml

LONGEST = 15
INVARIANT = re.compile(r"(?:panicked at [^\n]*\n\s*|` failed: )([A-Z]{1,2}[0-9]+): ")


def name(case):
    return f"{case.get('classname')} {case.get('name')}"


def seconds(case):
    return float(case.get("time", 0))


def failures(case):
    """What the tries said that failed before one passed."""
    return ["".join(element.itertext()) for kind in ("flakyFailure", "flakyError") for element in case.iter(kind)]


def main(path):
    cases = list(xml.parse(path).iter("testcase"))
    print(f"{len(cases)} tests, {sum(map(seconds, cases)):.0f} s of them in all; the longest:")
    for case in sorted(cases, key=seconds, reverse=True)[:LONGEST]:
        print(f"  {seconds(case):6.1f} s  {name(case)}")
    retried = [case for case in cases if failures(case)]
    if not retried:
        print("No test needed a retry.")
        return 0
    print("Failed at first and passed when tried again; each is a bug to mend:")
    broken = 0
    for case in retried:
        invariants = sorted(set(INVARIANT.findall("\n".join(failures(case)))))
        broken += len(invariants)
        print(f"  FLAKY  {name(case)}" + (f": broke {', '.join(invariants)}, which no retry excuses" if invariants else ""))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
