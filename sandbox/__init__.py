"""A Slack and a Supabase on your desk: for the demo and the tests. Nothing imports it."""
