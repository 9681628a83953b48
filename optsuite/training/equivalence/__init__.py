"""Whether two trainings of the same runs agree: a stack and the plain loop, or a stored run and a fresh one."""
