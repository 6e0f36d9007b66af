"""How many requests a second a server answers, and how long each takes.

1, 8 and 32 clients, each of which asks again as soon as it has its answer: particle filters of 16
particles on the pocket. Once as the server is, where requests under way share forward passes, and
once with one request at a time. Server and clients are processes of one machine.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import islice
from statistics import median, quantiles

import openai

from motes.models.pocket import problems

CLIENTS = (1, 8, 32)
AT_ONCE = (16, 1)
REQUESTS = 32  # of all clients together, in a round
ROUNDS = 3  # of each number of clients, the two servers in turn
QUESTIONS = [problem.question for problem in islice(problems("test", seed=0, steps=4), REQUESTS)]


@contextmanager
def server(at_once: int) -> Iterator[str]:
    """Run a server; yield its address."""
    command = [sys.executable, "-m", "motes", "serve", "--port", "0", "--at-once", str(at_once)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found is not None, "the server did not start"
            yield found.group()
        finally:
            process.terminate()


def latencies(client: openai.OpenAI, clients: int) -> tuple[list[float], float]:
    """Seconds of each request, and of all together."""

    def seconds(number: int) -> float:
        began = time.perf_counter()
        client.chat.completions.create(
            model="pocket",
            messages=[{"role": "user", "content": QUESTIONS[number]}],
            seed=number,
        )
        return time.perf_counter() - began

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        each = list(pool.map(seconds, range(REQUESTS)))
    return each, time.perf_counter() - began


def main() -> None:
    """Print a row for each server and each number of clients: medians over rounds."""
    with ExitStack() as stack:
        clients_of = {}
        for at_once in AT_ONCE:
            address = stack.enter_context(server(at_once))
            client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", timeout=600)
            clients_of[at_once] = stack.enter_context(client)
            for clients in (4, 16):
                latencies(client, clients)  # what is compiled once is compiled
        print("requests at once  clients  requests/s (range)    median latency  95% below")
        for clients in CLIENTS:
            rounds = [
                {at_once: latencies(clients_of[at_once], clients) for at_once in AT_ONCE}
                for _ in range(ROUNDS)
            ]
            for at_once in AT_ONCE:
                rates = sorted(REQUESTS / each[at_once][1] for each in rounds)
                seconds = [second for each in rounds for second in each[at_once][0]]
                spread = f"{median(rates):5.2f} ({rates[0]:.2f} to {rates[-1]:.2f})"
                longest = quantiles(seconds, n=20)[-1]
                print(
                    f"{at_once:16}  {clients:7}  {spread}  {median(seconds):12.2f} s  "
                    f"{longest:7.2f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
