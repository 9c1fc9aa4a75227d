"""From a task to an inbox: affinity names the key, dispatch chooses among the inboxes, and the router keeps count."""
