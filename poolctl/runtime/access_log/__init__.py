"""The access log: one line for each request. None of this is imported or called while it is off."""
