"""Deleting campaigns, and cleaning a store of what nobody needs any more."""
