"""Tests of where images come from, one module for each kind of input."""
