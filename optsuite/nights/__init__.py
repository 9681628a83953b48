"""Nightly runs: a campaign, and its comparison with an earlier night."""
