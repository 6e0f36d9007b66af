"""A particle filter over one vLLM server on SmolLM2 and this CPU: motes, and its_hub.

Both ask the same server for the same steps: so many particles, steps of a few tokens, at
temperature 1, each step scored by a small formula of its text. its_hub resamples by the last step's
score at every step (as published); motes follows its default target. The server counts the tokens
that it drew and read; CPU seconds are the server's while it was asked, and the whole client's.

Run (after `make peers`): python benchmarks/served_peers.py
"""

# The environment of its_hub runs this file too, so that each client imports what it needs itself.

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peers import ENVIRONMENTS, QUESTION, SETTINGS, log_odds, motes_rule, score, unpack

PARTICLES, STEPS, TOKENS = 16, 8, 8
ROUNDS = 3
# CPU seconds of the server and of the client, and how long its user waits
SPENT = ("server", "loop", "whole", "wall")
UP = 600  # seconds until the server must answer
COUNTED = {
    "drawn": "vllm:generation_tokens_total",
    "read": "vllm:prompt_tokens_total",
    "found": "vllm:prefix_cache_hits_total",
}


def main() -> None:
    """Run both clients in turn, each in a process of its own, and print what they cost."""
    clients = {"motes": sys.executable, "its_hub": str(ENVIRONMENTS / "its_hub/bin/python")}
    if not all((ENVIRONMENTS / name / "bin/python").exists() for name in ("vllm", "its_hub")):
        print("vLLM or its_hub is not installed here: make peers")
        return
    with tempfile.TemporaryDirectory() as folder:
        unpack(folder)
        with server(folder) as (url, session):
            ask(clients["motes"], "motes", url, folder)  # warm
            rows = {name: [] for name in clients}
            for _ in range(ROUNDS):
                for name, python in clients.items():
                    rows[name].append(measured(python, name, url, folder, session))
    print(f"{PARTICLES} particles, {STEPS} steps of {TOKENS} tokens, {ROUNDS} rounds, in turn")
    for name, rounds in rows.items():
        total = {key: sum(row[key] for row in rounds) for key in rounds[0]}
        drawn = total["drawn"] / 1000
        print(
            f"  {name:8s} drawn {total['drawn']:.0f}, read {total['read']:.0f} of which the "
            f"server's cache had {total['found']:.0f}"
        )
        spent = ", ".join(f"{key} {total[key] / drawn:.1f}" for key in SPENT)
        print(f"           seconds for 1,000 drawn tokens: {spent}")


def measured(python: str, name: str, url: str, folder: str, session: int) -> dict[str, float]:
    """Run a client once; return what it and the server spent."""
    before, cpu = counted(url), cpu_seconds(session)
    spent = ask(python, name, url, folder)
    after = counted(url)
    spent["server"] = cpu_seconds(session) - cpu
    return {**spent, **{key: after[key] - before[key] for key in COUNTED}}


def ask(python: str, name: str, url: str, folder: str) -> dict[str, float]:
    """Run a client in a process of its own; return its seconds."""
    done = subprocess.run(
        [python, __file__, name, url, folder],
        env={**os.environ, **SETTINGS},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


@contextmanager
def server(folder: str) -> Iterator[tuple[str, int]]:
    """Run vLLM's server; yield its address, and the session that its processes are in."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"--dtype float32 --max-model-len 512 --block-size 32 --enforce-eager --port {port}"
    process = subprocess.Popen(
        [
            str(ENVIRONMENTS / "vllm/bin/python"),
            *("-m", "vllm.entrypoints.openai.api_server", "--model", folder, *options.split()),
        ],
        env={**os.environ, **SETTINGS},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        began = time.monotonic()
        while not answers(url):
            if process.poll() is not None or time.monotonic() - began > UP:
                sys.exit("vLLM's server did not start: make peers")
            time.sleep(1)
        yield url, process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # and its engine, a process of its own
        process.wait()


def answers(url: str) -> bool:
    """Say whether the server answers."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5):
            return True
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def counted(url: str) -> dict[str, float]:
    """Return the tokens that the server has drawn, read, and found in its cache."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as reply:
        text = reply.read().decode()

    def total(name: str) -> float:
        values = re.findall(rf"^{re.escape(name)}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
        return sum(float(value) for value in values)

    return {key: total(name) for key, name in COUNTED.items()}


def cpu_seconds(session: int) -> float:
    """Return the CPU seconds of all processes of a session (Linux)."""
    ticks = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[3]) == session:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def tell(began: tuple[float, float]) -> None:
    """Print a client's seconds since it began with its loop."""
    wall, loop = time.monotonic() - began[0], time.process_time() - began[1]
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"wall": wall, "loop": loop, "whole": used.ru_utime + used.ru_stime}))


def motes_client(url: str) -> None:
    """Filter with motes."""
    import motes
    from motes.models import FunctionReward

    lm = motes.load_lm(url, step=motes_rule(TOKENS))
    prm = FunctionReward(log_odds, name="formula")
    began = time.monotonic(), time.process_time()
    run: dict[str, Any] = {"particles": PARTICLES, "max_steps": STEPS, "progress": False}
    motes.solve(QUESTION, lm=lm, prm=prm, seed=0, **run)
    tell(began)


def its_hub_client(url: str, folder: str) -> None:
    """Filter with its_hub."""
    from its_hub.api import AbstractProcessRewardModel  # type: ignore[import-not-found]
    from its_hub.core.algorithms.particle_gibbs import ParticleFiltering  # type: ignore
    from its_hub.core.lms.openai_lm import OpenAICompatibleLanguageModel  # type: ignore
    from its_hub.core.lms.step_generation import StepGeneration  # type: ignore

    class Formula(AbstractProcessRewardModel):
        async def ascore(self, prompt: Any, steps: Any) -> Any:
            return [score(text) for text in steps]

        def score(self, prompt: Any, steps: Any) -> Any:
            return [score(text) for text in steps]

    lm = OpenAICompatibleLanguageModel(f"{url}/v1", api_key="none", model_name=folder)
    # it counts the steps before the one that it draws
    steps = StepGeneration(max_steps=STEPS - 1, tokens_per_step=TOKENS, temperature=1.0)
    began = time.monotonic(), time.process_time()
    ParticleFiltering(steps, Formula()).infer(lm, QUESTION, budget=PARTICLES)
    tell(began)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    elif sys.argv[1] == "motes":
        motes_client(sys.argv[2])
    else:
        its_hub_client(*sys.argv[2:])
