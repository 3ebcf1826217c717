"""Labels for many images, complete and once each: one process, several, or a cluster."""
