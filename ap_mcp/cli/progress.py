"""The progress of a call, for a person at a terminal."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bar:
    """A line on stderr that says how far a call is; it appears with the first report, and goes with the end."""

    def __init__(self) -> None:
        self._shown: tuple[Progress, TaskID] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._shown[0].stop()

    async def report(self, progress: float, total: float, message: str) -> None:
        """Show how far the call is, of how much, and what the last read showed."""
        begins = self._shown is None
        if self._shown is None:
            self._shown = self._started()
        bar, task = self._shown
        bar.update(task, completed=progress, total=total, description=message, refresh=begins)

    def _started(self) -> "tuple[Progress, TaskID]":
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TimeElapsedColumn
        from rich.table import Column
        from rich.text import Text

        class Said(ProgressColumn):
            """What the last read showed; text of the cloud is no markup."""

            def render(self, task: Task) -> Text:
                return Text(task.description, no_wrap=True, overflow="ellipsis")

        columns = (BarColumn(20), TaskProgressColumn(), TimeElapsedColumn(), Said(table_column=Column(no_wrap=True)))
        bar = Progress(*columns, console=Console(stderr=True), transient=True)
        bar.start()
        return bar, bar.add_task("")
