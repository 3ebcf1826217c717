"""Comparisons with plain references in float64, written from the definitions."""
