"""The command line: the only part that parses, prints and exits. Slow imports are local."""
