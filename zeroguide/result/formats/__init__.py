"""What a Labeling, or a whole run, can be written as: one module for each format."""
