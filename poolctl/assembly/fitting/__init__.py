"""Combinations of words, the rules about them, and the sizes for "auto". Pure functions."""
