"""Names for the types that the whole package passes around.

Where one type exists that everybody can hold to, a name here is that type, and the type checker
holds everybody to it. Elsewhere the name stands for `Any` and says what is meant:

- NumPy's and JAX's arrays share no interface;
- a particle is whatever the user's model makes it;
- a user's model may say that its keys are `jax.Array`, or its times `int`, which a checker would
  refuse if what it implements said "either".

Nothing is imported when the program runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from matplotlib.axes import Axes as MatplotlibAxes
    from transformers import PretrainedConfig, PreTrainedModel

Array: TypeAlias = Any
"""A NumPy or JAX array, or, where arithmetic alone is done with it, a number."""

Weights: TypeAlias = Array
"""Normalised weights: shape (N,), summing to one."""

LogWeights: TypeAlias = Array
"""Log-weights in nats, shape (N,), up to a constant; minus infinity is a weight of zero."""

PRNGKey: TypeAlias = Array
"""One JAX random key: typed (`jax.random.key`), or raw uint32, shape (2,), of either library."""

PRNGKeys: TypeAlias = Array
"""JAX random keys with a leading axis of slots: typed, or raw uint32, shape (N, 2)."""

Time: TypeAlias = Any
"""The number of a move: an int, or an integer that is being traced."""

PyTree: TypeAlias = Any
"""A pytree of arrays."""

Particles: TypeAlias = Any
"""A population of the user's model.

A pytree of arrays with a leading axis of slots where the model is traced, a sequence of Python
objects where it is hosted.
"""

Particle: TypeAlias = Any
"""One particle of the user's model."""

Message: TypeAlias = dict[str, Any]
"""What NumPyro's handlers pass on about a site."""

Network: TypeAlias = "PreTrainedModel"
"""A network of transformers, with its weights."""

Config: TypeAlias = "PretrainedConfig"
"""The configuration of a network of transformers."""

Tokenizer: TypeAlias = Any
"""A tokenizer of transformers, whose own annotations leave open what each method returns."""

Axes: TypeAlias = "MatplotlibAxes"
"""What Matplotlib draws one panel into."""

SeveralAxes: TypeAlias = "Sequence[MatplotlibAxes] | np.ndarray"
"""Axes of a figure with several panels, in any arrangement."""
