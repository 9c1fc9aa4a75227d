"""PEOPLE: one file for each command."""
