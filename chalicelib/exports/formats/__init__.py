"""The formats of files: one module for each."""
