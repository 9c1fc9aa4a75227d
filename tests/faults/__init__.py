"""What happens when clients, workers, signals and machines misbehave."""
