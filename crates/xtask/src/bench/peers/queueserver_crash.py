"""One dispense through bluesky-queueserver, its worker killed in the middle, and the recovery that its documentation
recommends. Prints one JSON object. The effect is a line in a file, as for ours.

Arguments: folder to work in, folder of the virtual environment's programs, path of redis-server."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from bluesky_queueserver.manager.comms import zmq_single_request

# A manager that is not there yet is waited for, not reported.
logging.disable(logging.CRITICAL)
FOLDER, PROGRAMS, REDIS = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
EFFECTS = FOLDER / "effects.txt"
BUSY_S, FAULT_AFTER_S = 8, 3

STARTUP = f"""
import bluesky.plan_stubs as bps
from bluesky import RunEngine

RE = RunEngine()

def dispense():
    with open({str(EFFECTS)!r}, "a") as table:
        table.write("dispensed\\n")
    yield from bps.sleep({BUSY_S})
"""

def permissions():
    every = {"plans": ":.*", "devices": ":?.*", "functions": ":.*"}
    group = {}
    for kind, all_of_them in every.items():
        group[f"allowed_{kind}"] = [all_of_them]
        group[f"forbidden_{kind}"] = [None]
    return json.dumps({"user_groups": {"root": group, "primary": group}})


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait(what, within, look):
    end = time.monotonic() + within
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise SystemExit(f"{what}: not within {within} s")


def effects():
    return len(EFFECTS.read_text().splitlines()) if EFFECTS.exists() else 0


def children(pid):
    # Each thread lists the processes that it started itself.
    text = " ".join(listed.read_text() for listed in Path(f"/proc/{pid}/task").glob("*/children")).split()
    return [int(child) for child in text] + [grandchild for child in text for grandchild in children(int(child))]


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    startup = FOLDER / "startup"
    startup.mkdir(exist_ok=True)
    (startup / "plans.py").write_text(STARTUP)
    (startup / "user_group_permissions.yaml").write_text(permissions())
    redis_port, control, info = free_port(), free_port(), free_port()
    log = open(FOLDER / "log.txt", "w")
    redis = subprocess.Popen(
        [REDIS, "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=log, stderr=log,
    )
    address = f"tcp://127.0.0.1:{control}"
    manager = None

    def ask(method, **params):
        answer, error = zmq_single_request(method, params or None, timeout=20000, zmq_server_address=address)
        return {"msg": error} if error else answer

    try:
        manager = subprocess.Popen(
            [
                str(PROGRAMS / "start-re-manager"),
                "--startup-dir", str(startup),
                "--redis-addr", f"127.0.0.1:{redis_port}",
                "--zmq-control-addr", address,
                "--zmq-info-addr", f"tcp://127.0.0.1:{info}",
                "--update-existing-plans-devices", "ENVIRONMENT_OPEN",
            ],
            stdout=log, stderr=log,
        )
        wait("the manager", 120, lambda: ask("status").get("manager_state") == "idle")

        def open_environment():
            ask("environment_open")
            wait("the environment", 300, lambda: (state := ask("status")).get("worker_environment_exists")
                 and state.get("manager_state") == "idle")

        def start_queue():
            started = ask("queue_start")
            if not started.get("success"):
                raise SystemExit(f"the queue was not started: {started.get('msg')}")

        without_worker = set(children(manager.pid))
        open_environment()
        # The list of plans comes a moment after the environment.
        wait("the plan", 30, lambda: "dispense" in ask("plans_allowed", user_group="primary").get("plans_allowed", {}))
        item = {"item_type": "plan", "name": "dispense"}
        added = ask("queue_item_add", item=item, user="bench", user_group="primary")
        if not added.get("success"):
            raise SystemExit(f"the plan was refused: {added.get('msg')}")
        start_queue()
        wait("the effect", 60, lambda: effects() > 0)
        time.sleep(FAULT_AFTER_S)
        # What came with the environment is the worker, which has the engine.
        workers = set(children(manager.pid)) - without_worker
        if not workers:
            raise SystemExit("the worker was not found")
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        time.sleep(20)
        said = ask("status").get("manager_state", "no answer")
        # The recommended recovery: the environment is destroyed and opened again, and the queue is started.
        ask("environment_destroy")
        wait("the environment gone", 60, lambda: (state := ask("status")).get("manager_state") == "idle"
             and not state.get("worker_environment_exists"))
        queued = len(ask("queue_get").get("items", []))
        open_environment()
        start_queue()
        wait("the queue", 120, lambda: (state := ask("status")).get("manager_state") == "idle"
             and state.get("items_in_queue") == 0)
        print(json.dumps({"effects": effects(), "said_20_s_after": said, "put_back": queued}))
    finally:
        for process in filter(None, [manager, redis]):
            family = children(process.pid) if process.poll() is None else []
            for pid in [process.pid, *family]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            process.wait()


main()
