"""The command line: the only part that parses, prints and exits. What is slow is imported by the command that needs it."""
