"""Derives a topology with reasons from an app's folder and a few answers. Used only by `poolctl init`."""
