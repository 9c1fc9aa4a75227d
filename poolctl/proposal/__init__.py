"""From an app's folder and a few answers to a topology with reasons. Used by `poolctl init` alone."""
