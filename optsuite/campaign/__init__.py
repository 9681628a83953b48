"""Campaigns, named sets of results: replay studies against the store, train the rest, record it."""
