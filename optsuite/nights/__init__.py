"""One nightly run: what is done beside a campaign to compare it with an earlier night."""
