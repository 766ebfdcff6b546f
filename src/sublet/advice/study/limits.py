"""What a trace cannot tell: for each study the sentences that its own facts call for, none that they do not."""

from collections.abc import Iterator

import numpy as np

from sublet.advice.study.given import YEAR_H
from sublet.advice.study.question import EXAMPLE, Question
from sublet.advice.study.result import Study
from sublet.advice.study.words import counted, length, listed
from sublet.core.lease import LeaseClass
from sublet.core.units import HOUR_US, SECOND_US

SHORT_H = 28 * 24
"""A studied period below this has seen few weeks."""


def limits(study: Study) -> tuple[str, ...]:
    """The sentences, those about the data first."""
    question = study.question
    jobs = question.kind == "jobs"
    return (
        *_example(question),
        *(_of_jobs(question) if jobs else _of_usage(question)),
        *_of_time(question),
        *_of_the_fleet(question),
        *_of_the_market(study),
        *_of_the_method(study),
    )


def _example(question: Question) -> Iterator[str]:
    if question.source == EXAMPLE:
        yield (
            "The example holds only jobs that ended well, of three teams of Microsoft's Philly cluster. Failed and killed "
            "jobs, which used about as much GPU time again, are missing, and the sizes of the three pools were chosen for it. "
            "It says how the demand of teams comes and goes, and nothing about the utilisation of that cluster."
        )


def _of_jobs(question: Question) -> Iterator[str]:
    found = {note.kind: note.count for note in question.notes}
    if found.get("start_unknown"):
        yield (
            f"{counted(found['start_unknown'], 'job')} without a known start: taken to start when submitted. What they waited "
            "then was not leasing's doing, and shows up as demand that came earlier than it did."
        )
    if found.get("submit_unknown"):
        yield (
            f"{counted(found['submit_unknown'], 'job')} without a known submission: taken as submitted at the start, so what "
            "they had waited is not seen, and demand that the fleet could not serve is missing."
        )
    yield (
        "The owner's queue is run again first come, first served; a job that does not fit is passed by later ones that do. "
        "Priorities, reservations, limits of users and partitions, and jobs that wait for others are not known. What the fleet "
        "would do today is measured in the same way, with nothing leased, and not read from the trace."
    )
    yield "Jobs come when they came and run as long as they ran: nobody submits more, or less, because GPUs are leased."
    yield "Which node a job had, and whether its nodes had to be near each other, is not replayed: any node with room will do."
    if found.get("parts"):
        asks = counted(found["parts"], "job asks", "jobs ask")
        yield f"{asks} for parts of a GPU. Each part counts as a whole one, so less seems idle than was."
    if all((layout.jobs.nodes == 1).all() for layout in question.layouts):
        yield "No job spans several nodes. If the trace does not say how many workers a job had, gangs are missing."


def _of_usage(question: Question) -> Iterator[str]:
    yield (
        "Only the demand over time is known, not the jobs behind it. Every rise is taken as one job, and whoever came last "
        "leaves first; so delays are those of rises, and their number says nothing about the number of jobs."
    )
    yield (
        "Each GPU is a node of its own: nothing is known of gangs, nodes and where they lie. With whole nodes less can be "
        "leased, and a reclaim may have to end more."
    )
    step_us = _step_us(question)
    if step_us is not None:
        yield f"Two changes are {length(step_us / SECOND_US)} apart at the least: rises and dips that are shorter are not seen."
    if step_us is not None and step_us >= HOUR_US:
        yield "A log of hours that counts a job in every hour it touches shows more demand than there was."
    yield "Demand above a pool's capacity is cut there: what waited in a queue is not seen."


def _step_us(question: Question) -> int | None:
    """The shortest time between two rises of a pool; None where no pool has two."""
    rises = [np.unique(layout.jobs.submit_us) for layout in question.layouts]
    steps = [int(np.diff(instants).min()) for instants in rises if len(instants) > 1]
    return min(steps, default=None)


def _of_time(question: Question) -> Iterator[str]:
    lasted_h = (question.until_us - question.open_us) / HOUR_US
    if question.clock == "relative":
        yield (
            "The trace counts time from its own zero. Its days and weeks are not those of a calendar: what forecasts learn of "
            "the hour and of weekends, they learn relative to that zero. --origin gives its wall time."
        )
    if lasted_h < YEAR_H:
        rest = "a week with a launch or a holiday" if lasted_h < SHORT_H else "seasons, launches and new hardware"
        yield (
            f"The studied period is {length(lasted_h * 3600)} long. Yearly figures are its own, scaled; {rest} can change them."
        )
    gap_h = sum(gap.to_us - gap.from_us for gap in question.gaps) / HOUR_US
    if gap_h:
        yield (
            f"The log has {counted(len(question.gaps), 'gap')} of {length(gap_h * 3600)} in all. They count as neither idle "
            "nor leasable. The replay runs through them as if nothing had been submitted; what it leases there is not counted."
        )


def _of_the_fleet(question: Question) -> Iterator[str]:
    found = {note.kind: note.count for note in question.notes}
    yield "The fleet is always as large as the inventory says. Failed and drained nodes are not known of, nor maintenance."
    if found.get("down"):
        yield f"{counted(found['down'], 'node')} that were down when the inventory was made count as if they worked."
    if found.get("node_size"):
        yield (
            f"The size of nodes is not known for {counted(found['node_size'], 'GPU')}: taken as nodes with one. With whole "
            "nodes less can be leased."
        )


def _of_the_market(study: Study) -> Iterator[str]:
    question, market = study.question, study.question.market
    spot = [layout.pool for layout in question.layouts if len(layout.spot.jobs)]
    if spot:
        where = "" if len(spot) == len(question.layouts) else f" in {listed(spot[:6])}"
        yield f"Tenants are the jobs that the trace marks as spot{where}; whether others would come at this price is not known."
    if len(spot) < len(question.layouts):
        yield (
            "Tenants are taken to be always there, and to take whatever is for sale at the posted price. Whether so many would "
            "come, no trace can tell: what is leased is an upper bound of what this policy sells."
        )
    yield "The price is an assumption, and stays as it is however much is offered."
    if market.work.heed_notice:
        save = length(market.work.save / SECOND_US)
        yield (
            f"Every tenant heeds the notice: it saves its work within {save} and leaves. One who does not loses what it did "
            "since the last checkpoint."
        )


def _of_the_method(study: Study) -> Iterator[str]:
    terms = [pool.terms[LeaseClass.GUARDED].terms_us for pool in study.pools]
    yield (
        "Start, hand-over and stop take the times of the assumptions, each time. On real machines some take longer; the "
        "promise has room for it only as far as it is longer than the longest delay."
    )
    if study.judgement is None and study.wanted.judged and any(terms):
        yield "The trace is too short to judge forecasts by it: how often an offered window would be reclaimed is not known."
