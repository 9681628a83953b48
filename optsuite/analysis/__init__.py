"""Tables and verdicts of a campaign, as frames and values. Nothing here draws or prints."""
