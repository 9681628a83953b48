"""Numbers that the other modules import."""

WIDTH = 12
SLOPE = 0.1
DECAY = 0.01
MOMENTUM = 0.8
CLASSES = 3
SETTINGS = {"noise": 0.3, "scale": 2.0, "smoothing": 0.05}
EXPONENTS = (1, 2)
EPSILON = 1e-8
N_TRAIN, N_REST = 96, 32
N_FEATURES = 4
FIRST_SEED = 3
GAIN = 1.5
BETA = 0.9
N_LAYERS = 2
OFFSET = 0.25
