"""Samplers compared on many problems: how often each is right, and at how many tokens.

`evaluate` runs samplers on problems and keeps every result in a file as it comes (`runner`,
`records`). The `Evaluation` that comes back has a table (`accuracy_table`), a hierarchical model of
accuracy against tokens (`scaling`, `fit`), and a plot of both (`accuracy_plot`). Of repeated runs
it says how often one of k is right (`coverage_curve`), and of
answers with their probabilities how often the surest are wrong (`risk`). All that follows from the
records, and how it would go on, is in `laws`; rules for saying nothing are in `abstention`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
