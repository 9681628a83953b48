"""Whether a definition can be trained, checked before anything is started."""
