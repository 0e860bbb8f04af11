"""Slack in, Slack out: the Bolt app, proof of who people are, cards. Decides nothing."""
