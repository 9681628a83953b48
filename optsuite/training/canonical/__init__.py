"""What a definition consists of: a text that is equal for two definitions only if they behave alike."""
