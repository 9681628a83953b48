"""Where training happens: worker processes behind one small interface that a cluster can take the place of."""
