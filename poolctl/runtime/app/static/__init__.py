"""Serving the files of a folder, with conditions, ranges and encodings (RFC 9110)."""
