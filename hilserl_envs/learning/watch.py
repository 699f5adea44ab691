"""`Watch`: shows a run as it goes: a line in the terminal, a tracker, a picture of its curves."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

from hilserl_envs.errors import HilserlError
from hilserl_envs.learning.curves import plot_run
from hilserl_envs.learning.monitor import Monitor
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.trackers import make_tracker

LOOK_EVERY = 1.0  # [s]
PLOT_EVERY = 30.0  # [s]
LINE_EVERY = 60.0  # where there is no terminal, but a file [s]


class Watch:
    """Looks at a run while it goes, and knows when its time is over; use it in a `with`.

    Args:
        run: its folder.
        steps: of the environment (updates, where nobody acts) until it is over.
        minutes: of wall-clock time, those of earlier sessions included.
        tracker: see `make_tracker`.
    """

    def __init__(self, run: RunFolder, steps: int | None, minutes: float | None, tracker: str):
        self._run, self._minutes = run, minutes
        self._monitor, self._tracker = Monitor(run), make_tracker(tracker, run)
        self._progress = self._monitor.look()
        self._before = run.seconds()
        self._began = time.monotonic()
        self._looked, self._plotted, self._told = -LOOK_EVERY, self._began, self._began
        self._unit = "step" if run.settings.acts else "update"
        self._bar = tqdm(
            total=steps, initial=self._progress.steps, unit=self._unit, file=sys.stderr, disable=None
        )

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        try:
            self._look()
            self._plot()
        except HilserlError:
            if error is None:  # else what stopped the run is said, and not what follows from it
                raise
        finally:
            self._bar.close()
            self._tracker.close()

    @property
    def seconds(self) -> float:
        """Wall-clock time of the run so far [s]."""
        return self._before + time.monotonic() - self._began

    def is_over(self) -> bool:
        """Whether the minutes are over; shows how it goes, at most once a second."""
        if time.monotonic() - self._looked >= LOOK_EVERY:
            self._look()
            if time.monotonic() - self._plotted >= PLOT_EVERY:
                self._plot()
        return self._minutes is not None and self.seconds >= 60 * self._minutes

    @property
    def steps(self) -> int:
        """Of the run so far (updates, where nobody acts)."""
        return self._progress.steps

    def tell(self, line: str) -> None:
        """A line for the person, above the progress bar."""
        tqdm.write(line, file=sys.stderr)

    def report(self) -> dict:
        """What came out, for programs; and for people, printed."""
        progress = self._progress
        print(
            f"{self._run.path}: {progress.steps} {self._unit}s in {progress.episodes} episodes, "
            f"{self.seconds / 60:.1f} min; {progress.line()}"
        )
        return {
            "run": str(self._run.path),
            "episodes": progress.episodes,
            "steps": progress.steps,
            "updates": progress.updates,
            "success_rate": progress.success_rate,
            "unaided_success_rate": progress.unaided_success_rate,
            "intervention_rate": progress.intervention_rate,
            "cycle_time_s": progress.cycle_time,
            "seconds": self.seconds,
        }

    def _look(self) -> None:
        self._progress = self._monitor.look()
        self._tracker.write(self._progress)
        self._bar.update(self._progress.steps - self._bar.n)
        self._bar.set_postfix_str(self._progress.line())
        self._looked = time.monotonic()
        if self._bar.disable and self._looked - self._told >= LINE_EVERY:
            steps = f"{self._progress.steps} {self._unit}s"
            print(f"{steps}: {self._progress.line()}", file=sys.stderr, flush=True)
            self._told = self._looked

    def _plot(self) -> None:
        plot_run(self._monitor)
        self._plotted = time.monotonic()
