"""An evaluation: its results, and what can be made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .accuracy_table import Table, tabulated
from .arms import labelled
from .plan import Key, Plan
from .records import Record
from .results import Results
from .results_file import read, warn_of_damage
from .scaling import Priors

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .laws import ModelShape
    from .scaling_fit import ScalingFit


@dataclass(frozen=True, eq=False)
class Evaluation(Results):
    """Results of K arms (methods at their budgets) on I problems; its attributes are `Results`'.

    Example:
        >>> import motes, tempfile
        >>> from pathlib import Path
        >>> from motes.models import TableLM
        >>> file = Path(tempfile.mkdtemp()) / "results.jsonl"
        >>> lm = TableLM(lambda prefix: [0.5, 0.3, 0.2], eos=2)
        >>> ask = {"lm": lm, "prm": None, "max_steps": 3, "progress": False, "results": file}
        >>> vote = {"vote": motes.samplers.MajorityVote(samples=3)}
        >>> first = lambda x: str(x.token_ids[0]) if x.finished else None
        >>> evaluation = motes.evaluate([("?", 1), ("!", 0)], samplers=vote, answer=first, **ask)
        >>> evaluation.methods, len(Evaluation.load(file).records)
        (['vote'], 2)
    """

    @classmethod
    def load(cls, path: str | Path) -> Evaluation:
        """Read a file of results, as far as it goes.

        Raises:
            OSError: it cannot be read.
            ValueError: it is something else.

        Warns:
            RuntimeWarning: runs are missing, and lines of the file are damaged.
        """
        contents = read(Path(path))
        if contents is None:
            raise FileNotFoundError(f"no results at {str(path)!r}")
        warn_of_damage(Path(path), contents)
        return cls.of(contents.plan, contents.records)

    @classmethod
    def of(cls, plan: Plan, records: Mapping[Key, Record]) -> Evaluation:
        """Return the evaluation of a plan, from what records there are of it."""
        places = sorted(plan.keys().items())
        found = tuple(records[key].at(place) for place, key in places if key in records)
        return cls(labelled(plan.arms), len(plan.problems), found, plan.repeats)

    def table(self, by: Sequence[Any] | None = None) -> Table:
        """Return the table of accuracy and mean tokens; see `motes.evaluation.accuracy_table`.

        Args:
            by: to which group each problem belongs, such as its level or subject: a label for each,
                in order; None for one row an arm.

        Raises:
            ValueError: there is another number of labels.
        """
        return tabulated(self, by)

    def fit(
        self,
        seed: int = 0,
        *,
        priors: Priors = Priors(),
        chains: int = 4,
        warmup: int = 1000,
        draws: int = 1000,
    ) -> ScalingFit:
        """Fit the hierarchical model of accuracy against tokens by NUTS.

        See `motes.evaluation.scaling`.

        Args:
            seed: of everything random, in [0, 2**32).
            priors: of the model.
            chains: C, at least 1; they run as one vectorised computation.
            warmup: steps of adaptation of a chain, at least 1.
            draws: S of a chain, at least 1.

        Raises:
            TypeError, ValueError: an argument is not of its kind, or out of its range; no problem
                is done, or tokens were not counted.

        Warns:
            RuntimeWarning: with what `ScalingFit.check()` says, if anything.
        """
        from .fit import fit

        return fit(self, seed=seed, priors=priors, chains=chains, warmup=warmup, draws=draws)

    def plot(self, fit: ScalingFit | None = None, *, ax: Axes | None = None) -> Axes:
        """Plot accuracy against tokens; see `plot_accuracy`."""
        from .accuracy_plot import plot_accuracy

        return plot_accuracy(self, fit, ax=ax)

    def export(self, path: str | Path, problems: Sequence[Mapping[str, Any]] | None = None) -> Path:
        """Write every run as a row of Parquet, or of a Hugging Face data set; see `exported_rows`.

        Args:
            path: a file, FILE.parquet; any other name is that of a folder, which
                `datasets.load_from_disk` reads.
            problems: the problems in order, whose columns the rows get; None for none.

        Returns:
            The path.

        Raises:
            ValueError: there is another number of problems, or no run is done.
            ModuleNotFoundError: pyarrow or datasets is not installed: motes[data].
            OSError: it cannot be written.
        """
        from .data_sets.exporting import export

        return export(self, path, problems)

    def report(
        self,
        path: str | Path,
        *,
        lm: ModelShape | None = None,
        prm: ModelShape | None = None,
    ) -> Path:
        """Write the report of the evaluation to an HTML file; see `motes.evaluation.report`.

        Args:
            path: of the file, which is replaced where it is there.
            lm, prm: shapes of the models (`motes.evaluation.laws.model_shape`), without which there
                are no FLOPs.

        Returns:
            The path.

        Raises:
            OSError: the file cannot be written.
        """
        from .report import write_report

        return write_report(self, path, lm=lm, prm=prm)

    def log_to(self, tracker: str, *, project: str = "motes", name: str = "evaluation") -> None:
        """Log every arm as a run of an experiment tracker, a step for each problem.

        A step has `right` (the share of the problem's runs), `tokens` and `seconds` of the problem,
        and the `accuracy` so far; the last one also the arm's figures: `maj_at_n`, `avg_at_n`,
        `pass_at_n`, `accuracy_low`, `accuracy_high` and more. Only problems that all arms are done
        with count. Each call makes new runs. Where they go is the tracker's affair: it reads its
        own environment variables, such as WANDB_MODE=offline or TRACKIO_DIR.

        Args:
            tracker: "trackio" or "wandb", which must be installed.
            project: of the tracker, to which the runs are added.
            name: of the group of these runs.

        Raises:
            TypeError, ValueError: an argument is not of its kind; or no problem is done.
            ModuleNotFoundError: the tracker is not installed.
        """
        from .tracking import log_to

        log_to(self, tracker, project=project, name=name)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def __repr__(self) -> str:
        runs = self.problems * len(self.arms) * self.repeats
        return (
            f"<Evaluation of {', '.join(self.methods)} on {self.problems} problems: "
            f"{len(self.records)} of {runs} runs done>"
        )
