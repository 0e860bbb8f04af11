"""The shared ops layer: everything that decides and acts, the same for Slack, the terminal and CI."""
