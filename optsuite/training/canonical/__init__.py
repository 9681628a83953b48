"""What a definition consists of, as a text: equal for two definitions only if they behave alike."""
