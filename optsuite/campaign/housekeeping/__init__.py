"""Deleting campaigns, and cleaning a store of what is no longer needed."""
