"""What fits with what: a combination of words, the rules it is asked, and sizes that "auto" stands for. Pure."""
