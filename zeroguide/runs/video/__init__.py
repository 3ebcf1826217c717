"""A video: read (`clip`), its segments followed (`tracks`), labelled and written (`results`)."""
