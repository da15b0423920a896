"""Send thousands of damaged DICOM studies through the whole job and judge what comes out.

``python benchmarks/fuzz_dicom.py --cases 5000 --seed 1 [-j 2]``; one case again, with its files:
``python benchmarks/fuzz_dicom.py --seed 1 --case 1234 --keep FOLDER``

Each case is an intact study, one to five kinds of damage to one or all of its files, and one run of
the job (with a plain smoothing in place of the network) in a process of its own. The outcome must be
a valid output, a file passed over with its reason, or an error of one line. A traceback, a crash, a
timeout, output that another reader does not open, a leftover, or a gigabyte of memory is a failure.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from fuzz.trial import GOOD, SCRATCH, Case, Verdict, make_case, try_case, warm_up


def main() -> int:
    """Run the cases, print the failures as they come and the figures at the end."""
    arguments = _arguments()
    warm_up()
    if arguments.case is not None:
        return _one(arguments)
    started = time.perf_counter()
    results = _run(arguments.seed, arguments.cases, arguments.jobs)
    failed = sum(not verdict.good for verdict, _ in results)
    _print_figures(results, time.perf_counter() - started)
    print(f"{len(results)} cases, seed {arguments.seed}: {failed} failures")
    return int(failed > 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-j", "--jobs", type=int, default=1)
    parser.add_argument("--case", type=int, help="run this one case and tell everything about it")
    parser.add_argument("--keep", type=Path, help="with --case: write its files to this folder")
    return parser.parse_args()


def _one(arguments: argparse.Namespace) -> int:
    case = make_case(arguments.seed, arguments.case)
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        for name, data in case.files.items():
            (arguments.keep / name).write_bytes(data)
    verdict = _try(arguments.seed, arguments.case, case)
    print(f"{case.name}: {'; '.join(case.damage)}")
    print(f"{verdict.outcome} in {verdict.seconds:.2f} s, {verdict.memory >> 20} MiB\n{verdict.detail}")
    return int(not verdict.good)


def _try(seed: int, number: int, case: Case) -> Verdict:
    with tempfile.TemporaryDirectory(prefix="quell-fuzz-", dir=SCRATCH) as folder:
        return try_case(case, Path(folder) / "case", Random(f"{seed} {number} settings"))


def _run(seed: int, cases: int, jobs: int) -> list[tuple[Verdict, Case]]:
    """Run all cases; with several jobs, each in a process of its own that prints its own failures."""
    if jobs <= 1:
        return [_tried(seed, number) for number in range(cases)]
    import multiprocessing

    context = multiprocessing.get_context("fork")
    with context.Pool(jobs) as pool:
        return pool.starmap(_tried, zip(itertools.repeat(seed), range(cases), strict=False), chunksize=20)


def _tried(seed: int, number: int) -> tuple[Verdict, Case]:
    case = make_case(seed, number)
    verdict = _try(seed, number, case)
    if not verdict.good:
        print(
            f"FAILED --seed {seed} --case {number}: {verdict.outcome}: {case.name}: {'; '.join(case.damage)}"
        )
        print("    " + verdict.detail.strip().replace("\n", "\n    ")[-1500:], flush=True)
    return verdict, Case(case.name, {}, case.damage)


def _print_figures(results: list[tuple[Verdict, Case]], seconds: float) -> None:
    outcomes = Counter(verdict.outcome for verdict, _ in results)
    for outcome in (*GOOD, *sorted(set(outcomes) - set(GOOD))):
        print(f"{outcome:>24}: {outcomes[outcome]:6d}")
    kinds = Counter(one.split(": ")[1] for _, case in results for one in set(case.damage))
    print("damage: " + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()))
    studies = len({case.name for _, case in results})
    slowest = max(verdict.seconds for verdict, _ in results)
    most = max(verdict.memory for verdict, _ in results)
    print(f"{studies} intact studies; slowest case {slowest:.1f} s; most memory {most >> 20} MiB")
    print(f"{seconds:.0f} s on {os.cpu_count()} cores")


if __name__ == "__main__":
    sys.exit(main())
