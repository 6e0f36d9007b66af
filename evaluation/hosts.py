"""The models of an evaluation: what they do, known without loading them wherever a file says it.

A model is what it does (see `motes.models.identity`), however it was given: as an object, or by a
name. What a name stands for is seen once it is loaded. A file of results therefore keeps, with
what a model does, its source: the digest of the files that a name stands for. A model of the same
source is the same model, and need not be loaded.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from ..models.identity import Mark, identify, source_mark
from ..models.pairing import use_of
from ..models.pocket import LM_FOLDER, PRM_FOLDER
from .results_file import Contents, check_source
from .run_engine import Engine, Models


class Hosts:
    """A language model and a reward model, and what is known of them.

    Args:
        models: as they were given.
        engine: which loads what has to be loaded.
    """

    def __init__(self, models: Models, engine: Engine) -> None:
        self._given = {"lm": models.lm, "prm": models.prm}
        self._to_load, self._engine = models.to_load, engine

    @cached_property
    def sources(self) -> dict[str, str]:
        """The mark of the files of each model that was given by a name, by argument."""
        marks = self._source_marks()
        if None in marks.values():
            self._engine.loaded_marks()  # downloads the files of which nothing is known yet
            marks = self._source_marks()
        return {name: mark.text for name, mark in marks.items() if mark is not None}

    def marks(self, path: Path, contents: Contents | None) -> dict[str, Mark]:
        """Return what each model does, by argument; a model is loaded where the file does not say.

        Args:
            path: of the file of results.
            contents: of the file; None where there is none yet.

        Raises:
            ValueError: the file is of a model whose name stood for other files.
        """
        marks = {}
        for name, host in self._given.items():
            known = None if contents is None else self._known(name, path, contents)
            if known is not None:
                marks[name] = known
            elif name in self._to_load:
                marks[name] = self._engine.loaded_marks()[name]
            else:
                marks[name] = identify(host)
        return marks

    def _known(self, name: str, path: Path, contents: Contents) -> Mark | None:
        """Return what the file says of a model of the same source; None where it says nothing."""
        if contents.arguments is None or name not in contents.sources or name not in self.sources:
            return None
        check_source(path, contents, name, self.sources[name])
        return Mark(contents.arguments.get(name))

    def _source_marks(self) -> dict[str, Mark | None]:
        """Return the marks of names, from their files; None where these are not here."""
        marks = {}
        for name, shipped in (("lm", LM_FOLDER), ("prm", PRM_FOLDER)):
            source = self._given[name]
            if isinstance(source, str):
                marks[name] = source_mark(source, LM_FOLDER if use_of(source) else shipped)
        return marks
