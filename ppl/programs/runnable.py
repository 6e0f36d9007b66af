"""What running a program asks of it: the parts below `Program` know it by this protocol alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from ...models import Sampling
from ..interfaces import Proposal, Shared


@runtime_checkable
class Runnable(Protocol):
    """A program that can be run.

    Attributes:
        name: of the program, for errors.
        max_steps: generations, at most.
        power: of its likelihood.
        given: values of sites that are not drawn, by name.
    """

    @property
    def name(self) -> str: ...

    @property
    def max_steps(self) -> int: ...

    @property
    def power(self) -> float: ...

    @property
    def given(self) -> Mapping[str, Any]: ...

    def called(self, calls: int, state: Any) -> Any:
        """Call the present function."""
        ...

    def after(self, calls: int, returned: object) -> tuple[bool, Any, Any]:
        """Say whether the program is over, its next state, and what it returns."""
        ...

    def site(self, name: str, calls: int) -> str:
        """Name a site in the whole run."""
        ...

    def meet(self, model: Any) -> Any:
        """Give what is to be asked in place of a model."""
        ...

    def meet_prior(self, prior: Sampling) -> None:
        """Take note of how a step is declared to be sampled."""
        ...

    def root(self) -> Any:
        """Give the program before its first draw."""
        ...

    def stepwise(self, proposal: Proposal, twist: Any = None, root: Any = None) -> Any:
        """Give the program as a filter samples it."""
        ...

    def via(self, shared: Shared) -> Any:
        """Give the program over what stands for its models."""
        ...
