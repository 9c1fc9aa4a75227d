"""From words to classes (registry), what fits with what (rules), and the assembled server."""
