"""Makes a topology with reasons from the answers about an app. Pure: it opens, imports and asks nothing.

    Answers -+-> asked: the questions that still matter
             +-> propose: a Proposal, the settings of a file, each with its reason and its alternatives

The designs are in ``designs``, the choice between them is in ``selection``, and the keys around them are in ``keys``.
"""

from __future__ import annotations

from poolctl.proposal.answers import Answers, Proposal
from poolctl.proposal.keys import keys_after_axes, keys_before_axes, notes
from poolctl.proposal.selection import select_designs


def propose(answers: Answers) -> Proposal:
    """Return the topology for these answers. Answers to questions that do not matter are ignored."""
    chosen, *others = select_designs(answers)
    settings = (*keys_before_axes(answers), *chosen.settings, *keys_after_axes(answers, chosen))
    return Proposal(answers.name, settings, tuple(each.instead_of(chosen) for each in others), notes(answers))
