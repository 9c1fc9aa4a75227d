"""From answers about an app to a topology with reasons. Pure: it opens, imports and asks nothing.

    Answers -+-> asked: which questions still decide something
             +-> propose: Proposal, the settings of a file, each with why it was chosen and what there is instead

The designs that it chooses between, and when, are in ``designs``; the keys around them in ``keys``.
"""

from __future__ import annotations

from poolctl.proposal.answers import Answers, Proposal
from poolctl.proposal.keys import above, below, notes
from poolctl.proposal.selection import designs


def propose(answers: Answers) -> Proposal:
    """The topology for these answers. Answers to questions that decide nothing are not looked at."""
    chosen, *others = designs(answers)
    settings = (*above(answers), *chosen.settings, *below(answers, chosen))
    return Proposal(answers.name, settings, tuple(each.instead_of(chosen) for each in others), notes(answers))
