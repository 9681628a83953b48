"""Training: runs in, a stream of measurements out. Knows no worker, no study and no store."""
