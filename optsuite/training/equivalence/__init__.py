"""Whether two trainings of one run agree: stacked and plain, or stored and fresh."""
