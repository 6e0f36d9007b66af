"""Real engines in environments of their own: vLLM in this process, and servers beside it.

MOTES_ENGINES is the folder that holds the environments (see the Makefile).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from motes.models import Trajectory
from motes.models.engines.connection import Connection

ENGINES = Path(os.environ.get("MOTES_ENGINES", "."))
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "TORCHDYNAMO_DISABLE": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "HF_HUB_OFFLINE": "1",
}
KEPT: list[Any] = []  # as vLLM's engines of one process go, they take down what the others need
BLOCK = 32  # tokens, of vLLM's prefix cache: on a CPU it takes multiples of this
# many engines stand in one process: 8,192 tokens of keys and values each, where a GiB is the least
EAGER: dict[str, Any] = {
    "enforce_eager": True,
    "block_size": BLOCK,
    "num_gpu_blocks_override": 256,
}
UP = 600  # seconds until a server must answer: importing vLLM takes a minute of a quiet machine


def vllm_here(load: Callable[..., Any], source: str, **options: Any) -> Any:
    """Load a model into vLLM, in this process, until it ends."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    KEPT.append(load(source, **options))
    return KEPT[-1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serve(engine: str, *command: str) -> Iterator[str]:
    """Run a server of an engine's environment until the test module is done; yield its address."""
    port = free_port()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [str(ENGINES / engine / "bin" / "python"), *command, str(port)],
            env={**os.environ, **ENVIRONMENT, "VLLM_ENABLE_V1_MULTIPROCESSING": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # vLLM's has processes of its own, which end with it
        )
        url = f"http://127.0.0.1:{port}"
        try:
            if not answers(url, process):
                log.seek(0)
                pytest.fail(f"no server of {engine} in {UP} s:\n{log.read()[-2000:]}")
            yield url
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a server answers; say whether it has, in time."""
    connection = Connection(url, retries=0)
    began = time.monotonic()
    while time.monotonic() - began < UP and process.poll() is None:
        try:
            if connection.find("/v1/models"):
                return True
        except RuntimeError:
            pass
        time.sleep(1)
    return False


def solution() -> list[Trajectory]:
    """Three prefixes of a solution, of which each is judged."""
    nodes = [Trajectory(question="How many pens has Ben?")]
    for step in ("Ben has 3 pens.\n\n", "He buys 4.\n\n", "The answer is 7."):
        nodes.append(nodes[-1].child(step, (1,), logprob=0.0, proposal_logprob=0.0))
    return nodes[1:]
