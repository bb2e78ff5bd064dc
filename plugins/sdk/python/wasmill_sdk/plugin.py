"""What a plugin is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from .metrics import Metric
from .record import Record, Timer
from .store import Store

if TYPE_CHECKING:
    from .context import Context
    from .migration import Migration
    from .query import Answer, Query, Reader


@dataclass(frozen=True)
class Port:
    """A port: where outputs leave."""

    name: str
    """Kebab-case."""
    doc: str = ""
    """One sentence for people."""
    rekeys: bool = False
    """Outputs may have other keys than their records; keyed state downstream costs a repartition."""


@dataclass(frozen=True)
class NoConfig:
    """The config table of a plugin without options: anything in it is a mistake."""


class Plugin:
    """A plugin: subclass it, say what it is in class attributes, and define :meth:`process`.

    Stores and metrics are class attributes too, in whatever order. Results must not depend on how
    records are cut into batches, so keep in ``self`` only what comes from the configuration; what is
    to be remembered belongs into a :class:`~wasmill_sdk.Store`.
    """

    name: ClassVar[str] = ""
    """snake_case; the class's name when left out."""
    version: ClassVar[str] = "0.0.0"
    """The plugin's own version."""
    state_version: ClassVar[int] = 0
    """Raised when what is stored changes its meaning."""
    inputs: ClassVar[Sequence[str]] = ()
    """Kebab-case names; left out, there is one input without a name."""
    ports: ClassVar[Sequence[Port]] = (Port("out", "All outputs"),)
    """The first is the default."""
    reads_headers: ClassVar[bool] = False
    """Records come with their headers."""
    reads_origins: ClassVar[bool] = False
    """Records come with their origins."""
    Config: ClassVar[type] = NoConfig
    """A dataclass: the transform's config table. Unknown, missing and mistyped options are refused."""

    config: Any
    """The config table, read as :attr:`Config`."""

    def __init__(self, config: Any) -> None:
        """Called once per instance, before its first record.

        Raise :class:`~wasmill_sdk.Problem` for what is wrong in the configuration.
        """
        self.config = config

    def process(self, record: Record, ctx: Context) -> None:
        """Runs one record. An exception fails this record only; what it stored and emitted is dropped."""
        raise NotImplementedError

    def on_timer(self, timer: Timer, ctx: Context) -> None:
        """Runs a timer that fires. A plugin that defines this may set timers."""
        raise NotImplementedError

    def answer(self, query: Query, reader: Reader) -> Answer:
        """Answers one question, in an instance that gets no records.

        A plugin that defines this says ``queries = true`` in its ``pyproject.toml``, under
        ``[tool.wasmill]``. What the one who asks did wrong is an answer, such as
        :meth:`Answer.not_found <wasmill_sdk.Answer.not_found>`; after an exception they are told that the
        plugin failed (502).
        """
        raise NotImplementedError

    def migrate(self, from_version: int, state: Migration) -> None:
        """Changes the stores of one partition, which an earlier :attr:`state_version` has written.

        A plugin that defines this says ``migrates = true`` in its ``pyproject.toml``, under
        ``[tool.wasmill]``. Called before the partition's first record; what is stored is committed with
        the new version, or not at all, and then it is called again. After an exception nothing of it
        counts, and the partition stands still.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class About:
    """A plugin's class attributes, gathered and checked."""

    name: str
    doc: str
    ports: tuple[Port, ...]
    stores: tuple[Store[Any], ...]
    metrics: tuple[Metric, ...]
    sets_timers: bool
    answers: bool
    migrates: bool


def about(plugin: type[Plugin]) -> About:
    """Gathers what a plugin says of itself; raises `TypeError` where that is wrong."""
    if plugin.process is Plugin.process:
        raise TypeError(f"{plugin.__name__} does not define `process(self, record, ctx)`")
    if not plugin.ports:
        raise TypeError(f"{plugin.__name__} has no ports; leave `ports` out for one named `out`")
    members: dict[str, Any] = {}
    for base in reversed(plugin.__mro__):
        members.update(vars(base))
    stores = tuple(member for member in members.values() if isinstance(member, Store))
    for kind, names in (
        ("port", [port.name for port in plugin.ports]),
        ("store", [store.name for store in stores]),
    ):
        for name in names:
            if names.count(name) > 1:
                raise TypeError(f"{plugin.__name__} has two {kind}s named `{name}`")
    doc = inspect.cleandoc(plugin.__doc__ or "").partition("\n\n")[0]
    return About(
        name=plugin.name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plugin.__name__).lower(),
        doc=" ".join(doc.split()),
        ports=tuple(plugin.ports),
        stores=stores,
        metrics=tuple(member for member in members.values() if isinstance(member, Metric)),
        sets_timers=plugin.on_timer is not Plugin.on_timer,
        answers=plugin.answer is not Plugin.answer,
        migrates=plugin.migrate is not Plugin.migrate,
    )
