"""One demo from beginning to end."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from rich.console import Console

from sublet.app import settings as settings_file
from sublet.app.settings import Settings
from sublet.app.slurm import named_cluster
from sublet.cli.root import Server
from sublet.core.rehearsal import READY_SOON, rehearse
from sublet.demo import options as checking
from sublet.demo.billing import issue_invoices, wait_until_booked
from sublet.demo.cast import wishes
from sublet.demo.director import Guard, play, wind_down
from sublet.demo.figures import Summary, draw
from sublet.demo.learning import read
from sublet.demo.options import Options
from sublet.demo.queues import fleet_of
from sublet.demo.schedule import Schedule, lay_out
from sublet.demo.stage import Stage, built
from sublet.demo.view import prologue, viewing
from sublet.engines.slurm.tools import Tools
from sublet.traces import read_jobs

PACKAGED = Path(__file__).parent.parent / "traces" / "philly_day.parquet"

Afterwards = Callable[[Stage, Summary], None]
"""What is done with the summary while the control plane is still up."""


def run_demo(options: Options, open_server: Callable[[Settings], Server], *, screen: Console, then: Afterwards) -> Summary:
    """Play a day and return its figures. `screen` shows how it goes; `then` is called while everything still stands."""
    options = _on_cluster(options) if options.engine == "slurm" else options
    checking.check(options)
    table = read_jobs(options.trace or PACKAGED)
    day = lay_out(table, slots=options.slots, speed=options.speed, hours=options.hours, seed=options.seed)
    prologue(screen, options, table, day)
    with screen.status(READY_SOON):
        rehearse()
    with _interruptible() as deaf, built(options, open_server, day) as stage:
        try:
            summary = _played(stage, options, day, screen)
            then(stage, summary)
            return summary
        finally:
            deaf()


def _on_cluster(options: Options) -> Options:
    """The options for the cluster that the settings name: as many slots as it has GPUs, and a third of the speed."""
    cluster = named_cluster(settings_file.load())
    gpus, largest = fleet_of(Tools(timeout_s=cluster.timeout_s))
    return replace(options, slots=gpus, largest=largest, speed=options.speed / options.pace.stretch)


def _played(stage: Stage, options: Options, day: Schedule, screen: Console) -> Summary:
    clock = stage.server.plane.clock
    asked = wishes(
        length_us=day.length_us,
        slots=min(options.slots, 4 * (options.largest or options.slots)),
        gpu_model=stage.gpu_model,
        seed=options.seed,
        pace=options.pace,
        python=sys.executable if options.engine else "python",
    )
    begin_us = clock.now_us()
    with viewing(screen, stage, options, day) as drawing:
        watch = Guard(stage, drawing)
        played = play(stage, day, asked, watch)
        wind_down(stage, length_us=day.length_us, watch=watch)
    end_us = clock.now_us()
    booked_us = wait_until_booked(stage)
    bills = issue_invoices(stage, options.data_dir / "invoices", from_us=begin_us, to_us=booked_us)
    learning = read(stage.tenants["aurora"], played.leases["aurora"][0])
    return draw(stage, options, played, learning, bills, begin_us=begin_us, end_us=end_us, booked_us=booked_us)


@contextmanager
def _interruptible() -> Iterator[Callable[[], None]]:
    """Let SIGTERM end the demo as Ctrl-C does. Gives what makes it deaf to both, so that it can tidy up in peace."""
    numbers = (signal.SIGINT, signal.SIGTERM)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def deaf() -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield deaf
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
