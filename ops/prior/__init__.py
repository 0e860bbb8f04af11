"""Prior copies: what a run is about to drop, change or delete, kept beside it on the target for a while."""
