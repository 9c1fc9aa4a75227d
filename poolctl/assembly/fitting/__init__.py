"""What fits with what: a combination of words, the rules about it, and the sizes that "auto" stands for. Pure."""
