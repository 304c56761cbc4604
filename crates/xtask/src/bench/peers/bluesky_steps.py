"""Durations of steps of bluesky's RunEngine, which keeps everything in memory. Prints one JSON object, milliseconds.

Argument: number of steps."""

import json
import statistics
import sys
import time

import bluesky.plan_stubs as bps
from bluesky import RunEngine
from bluesky.plans import count
from ophyd.sim import det

STEPS = int(sys.argv[1])
run_engine = RunEngine()


def quantiles(durations):
    durations = sorted(1000 * duration for duration in durations)
    return {"p50_ms": statistics.median(durations), "p99_ms": durations[int(0.99 * (len(durations) - 1))]}


def noop_steps(stamps):
    """A step that could be rewound to: checkpoint and a wait of no length."""
    for _ in range(STEPS):
        yield from bps.checkpoint()
        yield from bps.sleep(0)
        stamps.append(time.perf_counter())


def between(stamps):
    return [later - earlier for earlier, later in zip(stamps, stamps[1:])]


run_engine(count([det], num=10))
noop = [time.perf_counter()]
run_engine(noop_steps(noop))

events = []
run_engine(count([det], num=STEPS), lambda name, doc: events.append(time.perf_counter()) if name == "event" else None)
print(json.dumps({"noop": quantiles(between(noop)), "event": quantiles(between(events))}))
