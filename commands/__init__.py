"""One module per word that a person can type; the file's name is the word. Knows no Slack."""
