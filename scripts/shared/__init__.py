"""What scripts of several folders need."""
