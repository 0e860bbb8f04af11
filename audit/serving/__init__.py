"""The log as pages for auditors: Datasette over a log that is only read, with questions, figures and a dictionary of it."""
