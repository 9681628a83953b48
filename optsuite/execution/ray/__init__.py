"""Workers of a Ray cluster. Nothing else imports ray."""
