"""Nights: the same comparison again and again, and what changed between two of them."""
