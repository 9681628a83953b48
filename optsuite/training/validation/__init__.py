"""Whether a definition can be trained, found out before anything is started."""
