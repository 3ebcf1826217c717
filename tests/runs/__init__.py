"""Tests of runs over many images: streaming, workers, processes that die, resuming."""
