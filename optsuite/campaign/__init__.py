"""The campaign: a named set of results. Replays every study against the store, trains what is missing, records it."""
