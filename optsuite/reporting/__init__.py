"""The report: tables of a campaign, from its runs alone."""
