"""What a topology is, told to people and editors: its settings, its schema, its picture, and what a change means."""
