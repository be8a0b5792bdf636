# cython: language_level=3
"""Hot path."""
