#!/usr/bin/env python3
"""Judges the vectors in tests/vectors/partners with the four builds of the policy "partners".

    run.py [LANGUAGE...]            every case must end as its vector says
    run.py --measure [LANGUAGE...]  size, load time, decision time

A language without its partners.wasm is an error: run its build script first. Needs nothing but Python
and the binary `pinfold`; nothing is looked up and nothing is connected to.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
VECTORS = ROOT / "tests" / "vectors" / "partners"
LANGUAGES = ["rust", "c", "javascript", "python"]
# Decisions of one measurement, after one that is not counted.
DECISIONS = 20
# A component of an interpreter takes a minute to compile on a busy machine.
TIMEOUT = 600


def main():
    args = arguments()
    schemas = {(HERE / language / "settings.schema.json").read_text() for language in LANGUAGES}
    if len(schemas) > 1:
        sys.exit("error: the copies of settings.schema.json differ")
    if args.measure:
        return measure(args)
    failed = sum(language_fails(args.pinfold, language) for language in args.languages)
    return 1 if failed else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help=f"of {', '.join(LANGUAGES)}; default: all")
    parser.add_argument("--pinfold", type=Path, default=ROOT / "target" / "debug" / "pinfold", help="the binary")
    parser.add_argument("--measure", action="store_true", help="measure instead of testing")
    args = parser.parse_args()
    args.languages = args.languages or LANGUAGES
    unknown = set(args.languages) - set(LANGUAGES)
    if unknown:
        parser.error(f"no such language: {', '.join(sorted(unknown))}")
    return args


# Testing.


class Unusable(Exception):
    """The host does not take the component: there is nothing to judge with."""


def language_fails(pinfold, language):
    passed, failures = 0, []
    try:
        refuse_imports(pinfold, language)
        for file in sorted(VECTORS.glob("*.json")):
            for name, problem in outcomes(pinfold, language, json.loads(file.read_text())):
                passed += problem is None
                failures += [] if problem is None else [f"{file.stem}: {name}: {problem}"]
    except Unusable as why:
        failures.append(str(why))
    for failure in failures:
        print(f"{language}: {failure}")
    print(f"{language}: {passed} passed, {len(failures)} failed", flush=True)
    return bool(failures)


def refuse_imports(pinfold, language):
    run = call(pinfold, "inspect", "--json", component(language))
    if run.returncode != 0:
        raise Unusable(first_error(run))
    imports = json.loads(run.stdout)["imports"]
    if imports:
        raise Unusable(f"it imports {', '.join(imports)}")


def outcomes(pinfold, language, vectors):
    """The name of each case with what is wrong, or None."""
    if "cases" not in vectors:
        run = check(pinfold, language, vectors, [], ["https://api.example/"])
        return [("problems", compare_problems(run, vectors))]
    found = []
    for labels, cases in by_labels(vectors["cases"]):
        run = check(pinfold, language, vectors, cases, [case["url"] for case in cases], labels)
        if run.returncode not in (0, 1):
            raise Unusable(first_error(run))
        lines = [json.loads(line) for line in run.stdout.splitlines()]
        found += [(case["id"], compare(line, case["expect"])) for case, line in zip(cases, lines, strict=True)]
    return found


def by_labels(cases):
    """Labels are given once for a run, so that cases with equal labels make one."""
    groups = {}
    for case in cases:
        groups.setdefault(json.dumps(case["labels"]), []).append(case)
    return [(json.loads(labels), cases) for labels, cases in groups.items()]


def compare(line, expected):
    decision = line["decision"] or {}
    actual = {"verdict": line["verdict"], "stage": line["stage"], "code": line["code"]}
    if "message" in expected:
        actual["message"] = line["detail"]
    if "terms" in expected:
        actual["terms"] = {key: decision.get("terms", {}).get(key) for key in expected["terms"]}
    if "addresses" in expected:
        actual["addresses"] = [(address["denial"] or {}).get("code") for address in line["addresses"]]
    wanted = {"stage": None, "code": None} | expected
    return None if actual == wanted else f"expected {wanted}, got {actual}"


def compare_problems(run, vectors):
    """Problems are printed as "`/partners/1`: message"."""
    lines = [line.strip() for line in run.stderr.splitlines() if line.startswith("  `")]
    if "problem_paths" in vectors:
        missing = [path for path in vectors["problem_paths"] if not any(f"`{path}`: " in line for line in lines)]
        return f"no word of {missing} in {lines or first_error(run)}" if missing else None
    wanted = [f"`{problem['path']}`: {problem['message']}" for problem in vectors["problems"]]
    return None if lines == wanted else f"expected {wanted}, got {lines or first_error(run)}"


# Measuring.


def measure(args):
    nothing = min(seconds(lambda: call(args.pinfold, "--version")) for _ in range(3))
    print("| language | component | load | stage one | stage two |")
    print("|---|---|---|---|---|")
    for language in args.languages:
        vectors = json.loads((VECTORS / "addresses.json").read_text())
        case = vectors["cases"][0]
        urls = [case["url"]] * (DECISIONS + 1)
        start = time.monotonic()
        run = check(args.pinfold, language, vectors, [case], urls, case["labels"])
        load = time.monotonic() - start - nothing
        size = component(language).stat().st_size / 1024
        print(f"| {language} | {size:,.0f} KiB | {figures(run, load)} |", flush=True)
    return 0


def figures(run, load):
    if run.returncode != 0:
        return first_error(run).replace(str(HERE) + "/", "") + " | | "
    timings = [json.loads(line)["decision"]["timings"] for line in run.stdout.splitlines()[1:]]
    stage = {key: statistics.median(timing[key] for timing in timings) for key in ("target_us", "addresses_us")}
    return f"{load:.1f} s | {stage['target_us']:.0f} µs | {stage['addresses_us']:.0f} µs"


def seconds(work):
    start = time.monotonic()
    work()
    return time.monotonic() - start


# Running `pinfold`.


def check(pinfold, language, vectors, cases, urls, labels=()):
    options = [f"--label={key}={value}" for key, value in labels]
    options += [f"--grant={grant}" for grant in vectors.get("grants", [])]
    options += [f"--nat64={prefix}" for prefix in vectors.get("nat64", [])]
    options += [f"--resolve={name}={','.join(answers)}" for name, answers in names(cases).items()]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as settings:
        json.dump(vectors["settings"], settings)
        settings.flush()
        policy = [f"--policy={component(language)}", f"--settings={settings.name}"]
        return call(pinfold, "check", "--json", *policy, *options, *urls)


def names(cases):
    """What each host of a run answers; it cannot answer two things."""
    found = {}
    for case in cases:
        if "answers" in case:
            host = urlsplit(case["url"]).hostname.rstrip(".")
            if found.setdefault(host, case["answers"]) != case["answers"]:
                sys.exit(f"error: `{host}` has different answers in cases with equal labels")
    return found


def component(language):
    file = HERE / language / "partners.wasm"
    if not file.exists():
        sys.exit(f"error: {file} is missing: run the build script beside it")
    return file


def call(pinfold, *words):
    command = [str(pinfold), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)


def first_error(run):
    return " ".join(line.strip() for line in run.stderr.splitlines()[:2])


if __name__ == "__main__":
    sys.exit(main())
