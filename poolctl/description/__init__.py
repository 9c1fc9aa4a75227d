"""Describes topologies to people and editors: settings, schema, diagram, glossary, and the effect of changes."""
