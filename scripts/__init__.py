"""What makes, measures and checks the package; none of it is in the wheel."""
