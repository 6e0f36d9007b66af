"""The report of a run: one HTML file that needs nothing from outside, to be read, printed and kept.

    from motes.diagnostics.report import report
    report(posterior, "report.html")

It says, in this order: the question; how probable each answer is; what speaks against believing it;
pictures, each with how to read it; the best reasoning beside the most different; an ancestry that
can be followed; and what was run. Whatever comes from a model is shown as text and never run:
everything is escaped, and the file's own policy allows no script but its own, and no connection.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
