"""A plan that has already happened: the pending files run on a throw-away copy of the target, and what that showed."""
