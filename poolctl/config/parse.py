"""From the text of one source to a node, with its variables substituted."""

from __future__ import annotations

import os

from yaml.nodes import Node

from poolctl.config.diagnostic import Invalid, SourceText
from poolctl.config.loader import compose
from poolctl.config.tree import Tree


def parse_source(tree: Tree, source: SourceText, blank: int = 0) -> Node | None:
    """The node of a source with its variables substituted; the findings about it are kept in the tree.

    Raises Invalid where nothing can be read.
    """
    tree.sources[source.name] = source
    try:
        node, findings, unusable = compose(source, blank)
    except Invalid:
        from poolctl.config.other_formats import other_format  # few files are in another format

        other = other_format(source) if source.is_file else None
        if other is None:
            raise
        raise Invalid([other]) from None
    if source.is_file and any(each.code == "PC101" for each in findings):  # recovered from a syntax error
        from poolctl.config.other_formats import other_format  # few files are in another format

        if (other := other_format(source)) is not None:
            raise Invalid([other])
    tree.findings += findings
    tree.unusable |= unusable
    if node is not None and ("${" in source.text or "$$" in source.text):
        from poolctl.config.substitution import Substitution  # most topologies have no variables

        substitution = Substitution(source, os.environ)
        substitution.visit(node)
        tree.findings += substitution.findings
        tree.substituted |= substitution.substituted
        tree.unusable |= substitution.unusable
    return node
