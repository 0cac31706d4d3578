#!/usr/bin/env python3
"""What a run of the tests came to: those that took longest, and those that failed at first. Usage: ops/test-report.py JUNIT_XML."""

import sys
import xml.etree.ElementTree as xml

LONGEST = 15


def main(path):
    cases = list(xml.parse(path).iter("testcase"))
    name = lambda case: f"{case.get('classname')} {case.get('name')}"
    seconds = lambda case: float(case.get("time", 0))
    print(f"{len(cases)} tests, {sum(map(seconds, cases)):.0f} s of them in all; the longest:")
    for case in sorted(cases, key=seconds, reverse=True)[:LONGEST]:
        print(f"  {seconds(case):6.1f} s  {name(case)}")
    retried = [case for case in cases if case.find("flakyFailure") is not None or case.find("flakyError") is not None]
    if not retried:
        print("No test needed a retry.")
        return
    print(f"{len(retried)} tests failed at first and passed when tried again; each is a bug to mend:")
    for case in retried:
        print(f"  FLAKY  {name(case)}")


if __name__ == "__main__":
    main(sys.argv[1])
