"""Trees of sampled solutions: each is a rollout from every one of its prefixes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from ...trajectory import Trajectory
from ..problems import Problem
from .sampler import Continuation, Sampler
from .solutions import solved
from .tokens import END


class Node:
    """A distinct prefix of a problem's sampled solutions.

    Attributes:
        trajectory: the prefix.
        parent: the node one step shorter; None at the root.
        children: by the tokens of their last step.
        sampled: how many sampled solutions begin with the prefix.
        tried, arrived: rollouts from the prefix, and how many of them reached the answer.
        label: the probability that the prefix is right, where somebody has worked it out.
    """

    def __init__(self, trajectory: Trajectory, parent: Node | None) -> None:
        self.trajectory, self.parent = trajectory, parent
        self.children: dict[tuple[int, ...], Node] = {}
        self.sampled = self.tried = self.arrived = 0
        self.label = 1.0

    @property
    def promising(self) -> bool:
        """Whether the prefix has led to the answer, or is the beginning."""
        return self.arrived > 0 or self.parent is None

    def nodes(self) -> Iterator[Node]:
        """Yield this node and all below it, nearer ones first."""
        queue: list[Node] = [self]
        for node in queue:
            queue.extend(node.children.values())
            yield node


class Forest:
    """Grows trees of solutions.

    Args:
        sampler: of the language model.
        tokenizer: the pocket's.
        seed: of the samples.
        temperature: of the samples.
    """

    def __init__(
        self, sampler: Sampler, tokenizer: Any, *, seed: int, temperature: float = 1.0
    ) -> None:
        self.sampler, self.tokenizer, self.temperature = sampler, tokenizer, temperature
        self.generator = torch.Generator().manual_seed(seed)
        self.between = tokenizer.convert_tokens_to_ids(".ĊĊ")

    def grow(self, problems: Sequence[Problem], samples: int) -> list[Node]:
        """Sample solutions of each problem and put them together."""
        roots = [Node(Trajectory(question=problem.question), None) for problem in problems]
        starts = [root for root in roots for _ in range(samples)]
        written = self._complete(starts)
        for i, (root, continuation) in enumerate(zip(starts, written, strict=True)):
            path = self._add(root, continuation)
            right = solved(problems[i // samples], path[-1].trajectory)
            for node in path:
                node.sampled += 1
                node.tried += 1
                node.arrived += right
        return roots

    def roll_out(self, starts: Sequence[tuple[Problem, Node]]) -> None:
        """Roll out once from each node, and count."""
        written = self._complete([node for _, node in starts])
        for (problem, node), continuation in zip(starts, written, strict=True):
            end = self._add(Node(node.trajectory, None), continuation)[-1]
            node.tried += 1
            node.arrived += solved(problem, end.trajectory)

    def _complete(self, nodes: Sequence[Node]) -> list[Continuation]:
        prompts: dict[str, tuple[int, ...]] = {}
        for question in dict.fromkeys(node.trajectory.question for node in nodes):
            messages = [{"role": "user", "content": question}]
            ids = self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, return_dict=False
            )
            prompts[question] = tuple(ids)
        beginnings = [
            (*prompts[node.trajectory.question], *node.trajectory.token_ids) for node in nodes
        ]
        return self.sampler.complete(beginnings, self.generator, temperature=self.temperature)

    def _add(self, node: Node, continuation: Continuation) -> list[Node]:
        """Add a continuation's steps below a node; the path from the node to its end."""
        path, first = [node], 0
        for last, token in enumerate(continuation.tokens, start=1):
            if token != self.between and last < len(continuation.tokens):
                continue
            step = tuple(continuation.tokens[first:last])
            if step not in node.children:
                text = self.tokenizer.decode(step).removesuffix(END)
                log_p = sum(continuation.log_probs[first:last])
                ended = token == self.sampler.end
                child = node.trajectory.child(
                    text,
                    step,
                    logprob=log_p,
                    proposal_logprob=log_p,
                    finished=ended,
                    truncated=not ended and token != self.between,
                )
                node.children[step] = Node(child, node)
            node, first = node.children[step], last
            path.append(node)
        return path
